// Copying and adding between tensors of any strides, with conversion: dst ← src, or dst ← dst + src.
//
// Axes are sorted by dst's strides and merged where both sides allow, so that a dense copy is one run and a transposed
// one walks dst in memory order. Bound by memory: src is read once, dst written once.
#pragma once

#include <framegrad/core/parallel.hpp>
#include <framegrad/core/shape.hpp>
#include <framegrad/core/storage.hpp>
#include <framegrad/cpu/dispatch.hpp>
#include <framegrad/cpu/simd.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

/// Sizes with two sets of strides, merged to as few axes as possible; dst's innermost axis last.
struct Pairing {
  Shape sizes;
  Strides dst, src;
};

inline Pairing pair_up(const Geometry& dst, const Strides& src) {
  Pairing p;
  const auto axes = dst.order();
  for (int i = 0; i < dst.rank(); ++i) {
    const int a = axes[i];
    const Index n = dst.sizes[a];
    if (n == 1) continue;
    const int last = p.sizes.rank() - 1;
    if (last >= 0 && p.dst[last] == dst.strides[a] * n && p.src[last] == src[a] * n) {
      p.sizes[last] *= n, p.dst[last] = dst.strides[a], p.src[last] = src[a];
    } else {
      p.sizes.push_back(n), p.dst.push_back(dst.strides[a]), p.src.push_back(src[a]);
    }
  }
  if (p.sizes.rank() == 0) p.sizes.push_back(1), p.dst.push_back(1), p.src.push_back(1);
  return p;
}

/// Calls f(dst_offset, src_offset) for each run of the innermost axis; runs are spread over threads.
template <class F>
void for_each_run(const Pairing& p, double cost_an_item, F&& f) {
  const int inner = p.sizes.rank() - 1;
  const Index n = p.sizes[inner], runs = n == 0 ? 0 : p.sizes.count() / n;
  parallel_for(runs, cost_an_item * double(n), [&](Range r) {
    Index at[kMaxRank], rest = r.begin, d = 0, s = 0;
    for (int a = inner - 1; a >= 0; --a) {
      at[a] = rest % p.sizes[a];
      rest /= p.sizes[a];
      d += at[a] * p.dst[a], s += at[a] * p.src[a];
    }
    for (Index run = r.begin; run < r.end; ++run) {
      f(d, s);
      for (int a = inner - 1; a >= 0; --a) {  // a division for each axis and run would cost more than a short run itself
        d += p.dst[a], s += p.src[a];
        if (++at[a] < p.sizes[a]) break;
        d -= at[a] * p.dst[a], s -= at[a] * p.src[a], at[a] = 0;
      }
    }
  });
}

/// One run: dst ← src, or dst + src.
struct MoveRun {
  template <int B, class D, class S>
  FRAMEGRAD_INLINE static void run(D* dst, const S* src, Index n, bool add) {
    using V = Vec<accum_t<D>, B>;
    using L = Lanes<V>;
    if (add) {
      each<V>(n, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(dst, l.load(dst) + l.load(src)); });
    } else {
      each<V>(n, [&](const L& l) FRAMEGRAD_LAMBDA { l.store(dst, l.load(src)); });
    }
  }
};

namespace detail {

template <class D, class S>
void move_run(D* dst, Index dst_step, const S* src, Index src_step, Index n, bool add) {
  if constexpr (std::is_same_v<D, S>)
    if (!add && dst_step == 1 && src_step == 1) {
      std::memcpy(static_cast<void*>(dst), src, std::size_t(n) * sizeof(D));
      return;
    }
  if constexpr (is_floating<D> && is_floating<S> && !std::is_same_v<D, half> && !std::is_same_v<S, half>)  // half is rare: no code for it
    if (dst_step == 1 && src_step == 1 && n >= 16) return dispatch<MoveRun>(dst, src, n, add);
  if constexpr (std::is_same_v<D, S>)
    if (!add) {
      for (Index i = 0; i < n; ++i) dst[i * dst_step] = src[i * src_step];
      return;
    }
  using A = accum_t<D>;
  for (Index i = 0; i < n; ++i) dst[i * dst_step] = D(add ? A(A(dst[i * dst_step]) + A(src[i * src_step])) : A(src[i * src_step]));
}

/// What lies side by side in src, along axis `across`, goes to different runs. Both sides are met by whole lines of the cache: of src in a copy, since
/// its own, a power of two apart, would drive each other out.
template <class D, class S>
void move_across(Pairing p, int across, D* dst, const S* src, bool add) {
  constexpr Index width = 64 / Index(sizeof(S)), depth = 64;
  const int inner = p.sizes.rank() - 1;
  const Index n = p.sizes[across], length = p.sizes[inner], dst_across = p.dst[across], dst_step = p.dst[inner], src_step = p.src[inner];
  const auto move = [&](Index begin, Index blocks, Index live) {
    p.sizes[across] = blocks, p.dst[across] = dst_across * width, p.src[across] = width;
    for_each_run(p, 0.3 * double(live), [&](Index d, Index s) {
      alignas(64) S part[depth][width];
      for (Index j = 0; j < length; j += depth) {
        const Index count = std::min(depth, length - j);
        for (Index k = 0; k < count; ++k) std::memcpy(static_cast<void*>(part[k]), src + begin + s + (j + k) * src_step, std::size_t(live) * sizeof(S));
        for (Index i = 0; i < live; ++i) move_run(dst + (begin + i) * dst_across + d + j * dst_step, dst_step, part[0] + i, width, count, add);
      }
    });
  };
  move(0, n / width, width);
  if (n % width != 0) move(n / width * width, 1, n % width);
}

template <class T>
void read_run(double* to, const T* from, Index step, Index n) {
  for (Index i = 0; i < n; ++i) to[i] = double(from[i * step]);
}
template <class T>
void write_run(T* to, Index step, const double* from, Index n, bool add) {
  for (Index i = 0; i < n; ++i) to[i * step] = T(add ? double(to[i * step]) + from[i] : from[i]);
}
}  // namespace detail

/// dst ← src or dst + src; `src_strides` over dst's sizes (0 repeats an element).
template <class D, class S>
void copy_strided(D* dst, const Geometry& g, const S* src, const Strides& src_strides, bool add) {
  if (g.count() == 0) return;
  Pairing p = pair_up(g, src_strides);
  const int inner = p.sizes.rank() - 1;
  // One long run is cut, so that threads share it.
  constexpr Index kPiece = 1 << 14;
  if (p.sizes.rank() == 1 && p.sizes[0] > kPiece) {
    parallel_for(p.sizes[0], 0.2, [&](Range r) {
      detail::move_run(dst + r.begin * p.dst[0], p.dst[0], src + r.begin * p.src[0], p.src[0], r.size(), add);
    });
    return;
  }
  if (p.src[inner] != 1 && p.sizes[inner] >= 8)
    for (int a = 0; a < inner; ++a)
      if (p.src[a] == 1 && p.sizes[a] >= 8) return detail::move_across(p, a, dst, src, add);
  for_each_run(p, 0.3, [&](Index d, Index s) { detail::move_run(dst + d, p.dst[inner], src + s, p.src[inner], p.sizes[inner], add); });
}

/// The same for any two types. Integers beyond 2⁵³ are rounded when the types differ.
inline void convert_strided(Dtype to, void* dst, const Geometry& g, Dtype from, const void* src, const Strides& src_strides, bool add) {
  if (g.count() == 0) return;
  const Pairing p = pair_up(g, src_strides);
  const int inner = p.sizes.rank() - 1;
  for_each_run(p, 2.0, [&](Index d, Index s) {
    double buffer[256];
    for (Index i = 0; i < p.sizes[inner]; i += 256) {
      const Index n = std::min<Index>(256, p.sizes[inner] - i);
      visit_dtype(from, [&](auto t) { detail::read_run(buffer, static_cast<const decltype(t)*>(src) + s + i * p.src[inner], p.src[inner], n); });
      visit_dtype(to, [&](auto t) { detail::write_run(static_cast<decltype(t)*>(dst) + d + i * p.dst[inner], p.dst[inner], buffer, n, add); });
    }
  });
}

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
