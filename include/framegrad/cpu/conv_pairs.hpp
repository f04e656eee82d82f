// Convolution of bf16 where the processor multiplies pairs: the gather and the weights' gradient of conv.hpp and conv_weight.hpp on the
// units of gemm (tiles of AMX, or AVX512-BF16's dot product).
//
//   output, data gradient   rows of a few positions, copied tap by tap into a strip of one stretch of the sum, times slivers of the weights
//   weights' gradient       dyᵀ of a block of positions times, tap by tap, slivers of the rows of x that the tap reads
//
// A strip stays in the first-level cache, and so does a tap's sliver. Sums are f32; their order depends on the problem's size alone.
#pragma once

#include <framegrad/cpu/conv.hpp>
#include <framegrad/cpu/gemm.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

#if defined(__x86_64__)

inline constexpr Index kPairWidth = 32;       // columns of a sliver
inline constexpr Index kPairRows = 32;        // rows of a strip
inline constexpr Index kPairStretch = 512;    // products of a stretch: a sliver of 32 KiB, a strip of as much
inline constexpr Index kPairBlockUnits = kConvBlock / 2;
static_assert(kConvBlock % kPairRows == 0 && kPairBlockUnits % kAmxUnits == 0 && kPairStretch % (2 * kAmxUnits) == 0);

/// sums[rows, slivers·32] (+)= left·right; rows a multiple of 32, units one of 16.
inline void multiply_pairs(bool tiles, Index rows, Index slivers, Index units, const Pair* left, Index left_stride, const Pair* right, float* sums, Index stride, bool add) {
  const char* const a = reinterpret_cast<const char*>(left);
  const Index a_stride = left_stride * Index(sizeof(Pair));
  for (Index i = 0; tiles && i < rows; i += kPairRows) {
    float* const to = sums + i * stride;
    amx_strip(slivers, units, a + i * a_stride, a_stride, right, add ? to : nullptr, stride, to, stride, {});
  }
  for (Index j = 0; !tiles && j < slivers; ++j) {
    float* const to = sums + j * kPairWidth;
    dot_block(rows, units, {a, a_stride, false}, right + j * units * kPairWidth, {add ? to : nullptr, stride, to, stride});
  }
}

/// Weights of one group in slivers, stretch by stretch: k = tap·depth + channel.
struct ConvPairWeights {
  Index depth = 0, taps = 0, outputs = 0, slivers = 0, units = 0;  // units: of the whole sum, a multiple of 16
  std::vector<Pair> data;

  /// W(output, depth, tap) = w[output·output_step + depth·depth_step + tap_offset[tap]].
  void pack(const bf16* w, Index outputs_, Index output_step, Index depth_, Index depth_step, const std::vector<Index>& tap_offset) {
    outputs = outputs_, depth = depth_, taps = Index(tap_offset.size());
    slivers = (outputs + kPairWidth - 1) / kPairWidth;
    units = (taps * depth + 2 * kAmxUnits - 1) / (2 * kAmxUnits) * kAmxUnits;
    data.assign(std::size_t(slivers * units * kPairWidth), 0);
    parallel_for(outputs, double(2 * units), [&](Range r) {
      for (Index o = r.begin; o < r.end; ++o)
        for (Index t = 0, k = 0; t < taps; ++t)
          for (Index c = 0; c < depth; ++c, ++k) {
            const Pair bits = std::bit_cast<std::uint16_t>(w[o * output_step + c * depth_step + tap_offset[std::size_t(t)]]);
            data[std::size_t(place(o, k / 2))] |= bits << (k % 2 * 16);
          }
    });
  }
  /// Where a stretch begins, and how many units it has.
  const Pair* stretch(Index unit) const { return data.data() + unit * slivers * kPairWidth; }
  Index stretch_units(Index unit) const { return std::min(kPairStretch / 2, units - unit); }

 private:
  Index place(Index o, Index unit) const {
    const Index begin = unit / (kPairStretch / 2) * (kPairStretch / 2);
    return begin * slivers * kPairWidth + (o / kPairWidth * stretch_units(begin) + unit - begin) * kPairWidth + o % kPairWidth;
  }
};

/// Products [first, first + count) of the sums of kPairRows positions: their rows' channels, tap by tap; zeros behind the last.
struct ConvPairStrip {
  template <int B>
  FRAMEGRAD_INLINE static void run(const bf16* const* rows, Index depth, Index taps, Index first, Index count, bf16* strip) {
    using V = Vec<std::uint32_t, B>;
    constexpr Index N = 2 * V::lanes;
    for (Index at = 0; at < count;) {
      const Index t = (first + at) / depth, c = (first + at) % depth;
      const Index n = std::min(count - at, t < taps ? depth - c : count);
      for (Index i = 0; i < kPairRows; ++i) {
        bf16* const to = strip + i * count + at;
        if (t >= taps) {
          for (Index j = 0; j < n; ++j) to[j] = bf16(0.0f);
          continue;
        }
        const bf16* const from = rows[t * kConvBlock + i] + c;
        Index j = 0;
        for (; j + N <= n; j += N) detail::store_all(reinterpret_cast<std::uint32_t*>(to + j), detail::load_all<V>(reinterpret_cast<const std::uint32_t*>(from + j)));
        for (; j < n; ++j) to[j] = from[j];
      }
      at += n;
    }
  }
};

/// Rows of sums to the rows that `target` names.
struct ConvPairStore {
  template <int B>
  FRAMEGRAD_INLINE static void run(Index rows, Index outputs, const float* sums, Index stride, const float* bias, const Index* target, bf16* y, Index pitch) {
    using V = Vec<float, B>;
    for (Index i = 0; i < rows; ++i) {
      bf16* const to = y + target[i] * pitch;
      const float* const from = sums + i * stride;
      each<V>(outputs, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA {
        const V s = bias ? l.load(from) + l.load(bias) : l.load(from);
        if constexpr (B == 64) detail::store_by_instruction(l, to, s);
        else l.store(to, s);
      });
    }
  }
};

/// As convolve() of conv.hpp.
inline void convolve_pairs(const ConvGrid& grid, const bf16* source, Index source_pitch, const ConvPairWeights& w, const float* bias, bf16* target, Index target_pitch) {
  const Index positions = grid.positions(), blocks = (positions + kConvBlock - 1) / kConvBlock, stride = w.slivers * kPairWidth;
  const std::vector<bf16> zero(std::size_t(source_pitch), bf16(0.0f));
  // Few blocks: share out the slivers too. The number of shares does not change any sum.
  const Index shares = std::min<Index>(w.slivers, blocks >= 16 ? 1 : (16 + blocks - 1) / std::max<Index>(blocks, 1));
  const bool tiles = isa() == Isa::amx;
  parallel_for(blocks * shares, double(kConvBlock) * double(w.units * stride) / double(shares) / 300.0, [&](Range r) {
    if (tiles) amx_begin();
    ConvRows<bf16> rows;
    Index written = -1;
    struct Block;
    float* const sums = static_cast<float*>(detail::gemm_scratch<Block>(kPairRows * (stride * Index(sizeof(float)) + kPairStretch * Index(sizeof(bf16)))));
    bf16* const strip = reinterpret_cast<bf16*>(sums + kPairRows * stride);
    for (Index task = r.begin; task < r.end; ++task) {
      const Index block = task / shares, share = task % shares;
      const Range at{block * kConvBlock, std::min(positions, (block + 1) * kConvBlock)};
      const Range slivers{w.slivers * share / shares, w.slivers * (share + 1) / shares};
      const Index o0 = slivers.begin * kPairWidth, outputs = std::min(w.outputs, slivers.end * kPairWidth) - o0;
      if (block != written) rows.write(grid, at, source, source_pitch, zero.data());
      written = block;
      for (Index i = 0; i < at.size(); i += kPairRows) {
        for (Index unit = 0; unit < w.units; unit += kPairStretch / 2) {
          const Index units = w.stretch_units(unit);
          dispatch<ConvPairStrip>(static_cast<const bf16* const*>(rows.row.data() + i), w.depth, w.taps, 2 * unit, 2 * units, strip);
          multiply_pairs(tiles, kPairRows, slivers.size(), units, reinterpret_cast<const Pair*>(strip), units, w.stretch(unit) + o0 * units, sums, stride, unit > 0);
        }
        if (w.units == 0) std::fill(sums, sums + kPairRows * stride, 0.0f);
        dispatch<ConvPairStore>(std::min(kPairRows, at.size() - i), outputs, static_cast<const float*>(sums), stride, bias ? bias + o0 : nullptr,
                                static_cast<const Index*>(rows.target.data() + i), target + o0, target_pitch);
      }
    }
    if (tiles) amx_end();
  });
}

/// The rows of a block's positions as slivers: pairs of neighbouring positions, channels side by side.
struct ConvPairRows {
  template <int B>
  FRAMEGRAD_INLINE static void run(const bf16* const* rows, Index depth, Pair* to) {
    using V = Vec<Pair, B>;
    constexpr Index N = V::lanes;
    for (Index u = 0; u < kPairBlockUnits; ++u) {
      const auto *low = reinterpret_cast<const std::uint16_t*>(rows[2 * u]), *high = reinterpret_cast<const std::uint16_t*>(rows[2 * u + 1]);
      for (Index c = 0; c < depth; c += N) {
        const Lanes<V> l{c, int(std::min(N, depth - c))};
        detail::store_all(to + (c / kPairWidth * kPairBlockUnits + u) * kPairWidth + c % kPairWidth, l.load(low) | l.load(high) << 16);
      }
    }
  }
};

/// As convolve_weights() of conv_weight.hpp.
inline void convolve_weights_pairs(const ConvGrid& grid, const bf16* x, Index x_pitch, Index depth, const bf16* dy, Index dy_pitch, Index outputs, bf16* dw,
                                   Index output_step, Index depth_step, const std::vector<Index>& tap_offset) {
  const Index positions = grid.positions(), taps = grid.taps(), blocks = (positions + kConvBlock - 1) / kConvBlock;
  const Index slivers = (depth + kPairWidth - 1) / kPairWidth, ld = slivers * kPairWidth, rows_filled = (outputs + kPairRows - 1) / kPairRows * kPairRows;
  const Index size = taps * rows_filled * ld;
  constexpr Index kPartialLimit = Index(16) << 20;  // numbers in all parts together
  const Index parts = std::clamp<Index>(std::min(positions / 1024, kPartialLimit / std::max<Index>(size, 1)), 1, 16);
  const Index ranges = std::min<Index>(taps, (16 + parts - 1) / parts);
  const std::vector<bf16> zero(std::size_t(x_pitch), bf16(0.0f));
  std::vector<float> partial(std::size_t(parts * size), 0.0f);
  const bool tiles = isa() == Isa::amx;
  parallel_for(parts * ranges, double(positions) * double(size) / double(parts * ranges) / 300.0, [&](Range r) {
    if (tiles) amx_begin();
    ConvRows<bf16> rows;
    struct Block;
    Pair* const left = static_cast<Pair*>(detail::gemm_scratch<Block>((rows_filled + ld) * kPairBlockUnits * Index(sizeof(Pair))));
    Pair* const right = left + rows_filled * kPairBlockUnits;
    std::fill(right, right + ld * kPairBlockUnits, Pair(0));
    for (Index task = r.begin; task < r.end; ++task) {
      const Index part = task / ranges, range = task % ranges;
      for (Index block = blocks * part / parts; block < blocks * (part + 1) / parts; ++block) {
        const Range here{block * kConvBlock, std::min(positions, (block + 1) * kConvBlock)};
        rows.write(grid, here, x, x_pitch, zero.data());
        const Operand<bf16> dy_columns{dy + here.begin * dy_pitch, outputs, here.size(), 1, dy_pitch};
        if (here.size() < kConvBlock) std::fill(left, left + rows_filled * kPairBlockUnits, Pair(0));
        dispatch<PackRows<bf16, Pair>>(dy_columns, Index(0), outputs, kPairRows, Index(0), (here.size() + 1) / 2, left, kPairBlockUnits);
        for (Index t = taps * range / ranges; t < taps * (range + 1) / ranges; ++t) {
          dispatch<ConvPairRows>(static_cast<const bf16* const*>(rows.row.data() + t * kConvBlock), depth, right);
          multiply_pairs(tiles, rows_filled, slivers, kPairBlockUnits, left, kPairBlockUnits, right, partial.data() + part * size + t * rows_filled * ld, ld, true);
        }
      }
    }
    if (tiles) amx_end();
  });
  parallel_for(outputs, double(taps * ld * parts), [&](Range r) {
    for (Index o = r.begin; o < r.end; ++o)
      for (Index t = 0; t < taps; ++t) {
        float* const sum = partial.data() + (t * rows_filled + o) * ld;
        for (Index part = 1; part < parts; ++part)
          for (Index c = 0; c < depth; ++c) sum[c] += sum[part * size + c];
        for (Index c = 0; c < depth; ++c) dw[o * output_step + c * depth_step + tap_offset[std::size_t(t)]] = bf16(sum[c]);
      }
  });
}

#endif

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
