// The register tile of convolution, and what it reads: cells of 16 units, a unit a number or two of bf16.
//
//   out[r][:] (+)= Σ_steps Σ_u a[step.at + r·RowStep + u·UnitStep] · b[step][u][:]
//
// R rows by one or two vectors stay in registers over the whole sum. Rows and units lie a constant apart, so that all of a tile's
// numbers are at constant offsets of one pointer. Bound by arithmetic: 2·R FMAs for R broadcasts and two loads.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include <framegrad/core/storage.hpp>
#include <framegrad/cpu/dispatch.hpp>
#include <framegrad/cpu/gemm_epilogue.hpp>
#include <framegrad/cpu/gemm_pack.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

inline constexpr Index kCellUnits = 16;  // 64 bytes of floats or pairs: a line of the cache, a row of an AMX tile

/// Rows of a tile of cells, and of one of outputs (the weights' gradient; they divide 16). Registers: 2·R sums, 3 for a and b.
template <int B> inline constexpr int kCellRows = B == 64 ? 14 : B == 32 ? 6 : 4;
template <int B> inline constexpr int kOutputRows = B == 64 ? 8 : 4;

/// Bytes of the vectors that dispatch() takes.
inline int vector_bytes() { return isa() >= Isa::avx512 ? 64 : isa() >= Isa::avx2 ? 32 : 16; }

/// Columns of a sliver of the right operand: two vectors.
template <class U>
Index sliver_width() { return 2 * vector_bytes() / Index(sizeof(U)); }

template <class U> using UnitSum = std::conditional_t<std::is_same_v<U, Pair>, float, U>;

/// Memory from the caching allocator, as U; not initialised.
template <class U>
class ConvBuffer {
 public:
  explicit ConvBuffer(Index count) : storage_(std::make_unique<Storage>(count * Index(sizeof(U)), kCpu)) {}
  U* data() const { return static_cast<U*>(storage_->data()); }

 private:
  std::unique_ptr<Storage> storage_;
};

/// W(output, depth, tap) = data[output·output_step + depth·depth_step + tap_offset[tap]]; `depth` channels are summed over.
template <class T>
struct ConvMatrix {
  T* data;
  Index outputs, output_step, depth, depth_step;
  std::vector<Index> tap_offset;
};

/// A part of a sum: where it begins in the left operand, and how many units it has. Of the right operand it has a cell's, whatever is used.
struct ConvStep { Index at, units; };
struct ConvSteps {
  const ConvStep* step;
  Index count;
};

template <class A, int B, int R, int Vectors, int RowStep, int UnitStep>
struct ConvTile {
  /// b: 16 rows of two vectors a step; out: R rows, ld apart.
  FRAMEGRAD_INLINE static void run(const ConvSteps& steps, const A* a, const A* b, A* out, Index ld, bool add) {
    using V = Vec<A, B>;
    using N = typename V::Native;  // bare vectors: g++ 12 keeps a copy of a struct of them on the stack
    constexpr Index W = 2 * V::lanes;
    N sum[R][Vectors];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) sum[r][v] = N{};
    for (Index s = 0; s < steps.count; ++s) {
      const A* from = a + steps.step[s].at;
      const A* right = b + s * kCellUnits * W;
      for (Index u = 0, units = steps.step[s].units; u < units; ++u, from += UnitStep, right += W) {
        N y[Vectors];
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) {
          y[v] = detail::load_all<V>(right + v * V::lanes).v;
          __builtin_prefetch(right + 16 * W + v * V::lanes);
        }
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
          const N x = V(from[r * RowStep]).v;
#pragma GCC unroll 2
          for (int v = 0; v < Vectors; ++v) sum[r][v] = x * y[v] + sum[r][v];
        }
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) {
        A* const to = out + r * ld + v * V::lanes;
        const V x = V::of(sum[r][v]);
        detail::store_all(to, add ? detail::load_all<V>(to) + x : x);
      }
  }
};

/// Rows of numbers or −1 for zeros, `live` of each, to cells of `width`.
struct ConvCopy {
  template <int B, class T, class C>
  FRAMEGRAD_INLINE static void run(const T* from, Index pitch, const Index* rows, Index count, Index live, Index width, C* to) {
    using U = std::conditional_t<std::is_same_v<C, bf16>, Pair, C>;  // bf16 is copied in pairs
    constexpr Index D = Index(sizeof(U) / sizeof(C)), N = Vec<U, B>::lanes;
    for (Index i = 0; i < count; ++i, to += width) {
      const T* const row = from + (rows[i] < 0 ? 0 : rows[i] * pitch);
      Index c = 0;
      if (rows[i] >= 0) {
        for (; c + D * N <= live; c += D * N) {
          if constexpr (D == 2) detail::store_all(reinterpret_cast<U*>(to + c), detail::load_all<Vec<U, B>>(reinterpret_cast<const U*>(row + c)));
          else detail::store_all(to + c, detail::load_all<Vec<U, B>>(row + c));
        }
        for (; c < live; ++c) to[c] = C(row[c]);
      }
      for (; c < width; ++c) to[c] = C(0.0f);
    }
  }
};

/// What becomes of a sum: max(sum + bias + added, lowest), the lowest of all numbers if there is none. Rows of `added` lie as the target's.
template <class A, class T>
struct ConvEpilogue {
  const A* bias = nullptr;  // [outputs]
  const T* added = nullptr;
  A lowest = -std::numeric_limits<A>::infinity();

  /// Of a row that begins at y[row], at output o.
  template <class V>
  FRAMEGRAD_INLINE V of(const Lanes<V>& l, const V& x, Index o, Index row) const {
    V sum = x;
    if (bias) sum += l.load(bias + o);
    if (added) sum += l.load(added + row + o);
    return max(V(lowest), sum);  // in this order a NaN stays one
  }
};

/// Outputs [o, o + outputs) of rows of sums to the rows that `target` names, if it names one.
template <bool by_instruction = false>
struct ConvStore {
  template <int B, class A, class T>
  FRAMEGRAD_INLINE static void run(Index rows, Index o, Index outputs, const A* sums, Index stride, const ConvEpilogue<A, T>& epilogue, const Index* target, T* y,
                                   Index pitch) {
    using V = Vec<A, B>;
    for (Index i = 0; i < rows; ++i) {
      if (target[i] < 0) continue;
      T* const to = y + target[i] * pitch + o;
      const A* const from = sums + i * stride;
      each<V>(outputs, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA {
        const V s = epilogue.of(l, l.load(from), o, target[i] * pitch);
        if constexpr (by_instruction) detail::store_by_instruction(l, to, s);
        else l.store(to, s);
      });
    }
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
