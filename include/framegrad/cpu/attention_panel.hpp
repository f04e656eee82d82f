// Panels — the layout and the one product that attention is made of.
//
// A panel matrix keeps its columns in panels of W, the width of a register tile: element (i, j) lies at [j / W][i][j % W].
// Read along a row it is the left side of a product, read down a panel it is the right side, and its transpose is the left
// side too. So each block of queries, keys, values or probabilities is packed once and serves every product:
//
//   Pack         rows of T, wherever they lie → panels of A, row for row
//   PackAcross   the same rows as columns
//   Multiply     C ← keep∘C + A·B, or Aᵀ·B in place of A·B
//   Unpack       panels → rows of T
//
// Each is a kernel, called and not inlined, so that attention in four types is compiled in seconds.
#pragma once

#include <memory>

#include <framegrad/cpu/dispatch.hpp>
#include <framegrad/cpu/gemm_pack.hpp>
#include <framegrad/cpu/simd.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu::attention {

/// The register tile: R rows by N vectors are accumulated at a time, 16 of 32 registers with AVX-512, 12 of 16 with AVX2.
template <class A_, int B>
struct Tiling {
  using A = A_;
  using V = Vec<A, B>;
  static constexpr int L = V::lanes;
  static constexpr int N = B == 32 ? 3 : 2;
  static constexpr int W = N * L;
  static constexpr int R = B == 64 ? 8 : 4;
  static_assert(W % R == 0);                                     // a transposed left side reads R neighbours of a panel
  static constexpr Index kPad = L > R ? L : R;                   // queries are columns in one product, rows in the next
};

template <class A>
struct Panels {
  A* data;
  Index rows;  // allocated in each panel
  template <class Tl> FRAMEGRAD_INLINE A* at(Index i, Index j) const { return data + j / Tl::W * rows * Tl::W + i * Tl::W + j % Tl::W; }
  template <class Tl> FRAMEGRAD_INLINE Panels from_row(Index i) const { return {data + i * Tl::W, rows}; }
  template <class Tl> static constexpr Index size(Index rows, Index cols) { return rows * round_up(cols, Tl::W); }
};

/// Memory of the calling thread that is kept from call to call: a short sequence allocates nothing.
class Scratch {
 public:
  explicit Scratch(Index bytes) {
    struct Free { void operator()(std::byte* p) const { ::operator delete(p, std::align_val_t(64)); } };
    static thread_local std::unique_ptr<std::byte, Free> memory;
    static thread_local Index capacity = 0;
    if (capacity < bytes) {
      memory.reset();
      capacity = 0;
      memory.reset(static_cast<std::byte*>(::operator new(std::size_t(bytes), std::align_val_t(64))));
      capacity = bytes;
    }
    next_ = memory.get();
  }
  template <class A> A* take(Index count) {
    A* p = reinterpret_cast<A*>(next_);
    next_ += bytes_of<A>(count);
    return p;
  }
  template <class A> static constexpr Index bytes_of(Index count) { return round_up(count * Index(sizeof(A)), 64); }

 private:
  std::byte* next_;
};

/// A call of a kernel for the instruction set that the caller already runs with. Inlined, several would share one function's registers:
/// so the compiler isn't told what is called.
template <class K, int B, class... A>
FRAMEGRAD_INLINE void call(const A&... a) noexcept {  // no kernel throws
  const auto apart = [&](auto* kernel) FRAMEGRAD_LAMBDA {
    __asm__("" : "+r"(kernel));
    kernel(a...);
  };
#if defined(__x86_64__)
  if constexpr (B == 64) apart(&run64<K, A...>);
  if constexpr (B == 32) apart(&run32<K, A...>);
#endif
  if constexpr (B == 16) apart(&run16<K, A...>);
}

/// Rows that are read or written soon: a head's lie up to a page apart, and no processor guesses those on the next page. They are fetched
/// a few lines at a time, since many at once would hold up what is computed meanwhile.
class RowsToCome {
 public:
  template <class T>
  FRAMEGRAD_INLINE RowsToCome(const T* data, Index stride, Index rows, Index cols)
      : data_(reinterpret_cast<const char*>(data)), stride_(stride * Index(sizeof(T))), bytes_(cols * Index(sizeof(T))), rows_(data ? rows : 0) {}

  FRAMEGRAD_INLINE void fetch(Index lines) {
    for (; lines > 0 && rows_ > 0; --lines) {
      __builtin_prefetch(data_ + at_, 0, 2);
      at_ += 64;
      if (at_ >= bytes_) at_ = 0, data_ += stride_, --rows_;
    }
  }
  FRAMEGRAD_INLINE void fetch_row() { fetch((bytes_ + 63) / 64); }
  FRAMEGRAD_INLINE void fetch_rest() { while (rows_ > 0) fetch_row(); }

 private:
  const char* data_;
  Index stride_, bytes_, rows_, at_ = 0;
};

/// `rows` rows of `cols` numbers → panels, times `factor`; zeros in the rows from there to `padded` and up to a whole vector.
/// With each row one of `ahead` is fetched.
struct Pack {
  template <int B, class T, class A>
  FRAMEGRAD_INLINE static void run(const T* from, Index row_stride, Index rows, Index cols, Index padded, A factor, Panels<A> to, RowsToCome* ahead = nullptr) {
    using Tl = Tiling<A, B>;
    using V = typename Tl::V;
    constexpr int L = Tl::L, W = Tl::W;
    const V f(factor);
    const Index panel = to.rows * W;
    for (Index i = 0; i < rows; ++i, from += row_stride) {
      if (ahead) ahead->fetch_row();
      const T* in = from;
      A* out = to.data + i * W;
      Index j = 0;
      for (; j + W <= cols; j += W, in += W, out += panel) {
#pragma GCC unroll 4
        for (int n = 0; n < Tl::N; ++n) detail::store_all(out + n * L, detail::load_all<V>(in + n * L) * f);
      }
      each<V>(cols - j, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA { detail::store_all(out + l.index, l.load(in) * f); });
    }
    for (Index j = 0; j < cols; j += W) {
      A* out = to.template at<Tl>(rows, j);
      for (Index i = rows; i < padded; ++i, out += W) {
#pragma GCC unroll 4
        for (int n = 0; n < Tl::N; ++n) detail::store_all(out + n * L, V(0));
      }
    }
  }
};

/// load(row, lanes) of `rows` rows of `cols` numbers → put(place, numbers) in panels with a row for each of the cols; zeros in columns from `rows` to `padded`.
template <class Tl, class F, class G>
FRAMEGRAD_INLINE void each_across(Index rows, Index cols, Index padded, const F& load, Panels<typename Tl::A> to, const G& put) {
  using V = typename Tl::V;
  constexpr int L = Tl::L;
  for (Index i = 0; i < padded; i += L) {
    each<V>(cols, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA {
      V x[L];
#pragma GCC unroll 16
      for (int r = 0; r < L; ++r) x[r] = i + r < rows ? load(i + r, l) : V(0);
      detail::transpose(x);
      auto* column = to.template at<Tl>(l.index, i);
#pragma GCC unroll 16
      for (int r = 0; r < L; ++r) {
        if (r < l.count) put(column + r * Tl::W, x[r]);
      }
    });
  }
}

/// The same rows as Pack's, as columns.
struct PackAcross {
  template <int B, class T, class A>
  FRAMEGRAD_INLINE static void run(const T* from, Index row_stride, Index rows, Index cols, Index padded, A factor, Panels<A> to) {
    using V = Vec<A, B>;
    each_across<Tiling<A, B>>(rows, cols, padded, [&](Index r, const Lanes<V>& l) FRAMEGRAD_LAMBDA { return l.load(from + r * row_stride) * V(factor); }, to,
                              [](A* at, const V& x) FRAMEGRAD_LAMBDA { detail::store_all(at, x); });
  }
};

/// Panels → rows of T, row i times factors[i] (or all times `factor`); null panels → zeros.
struct Unpack {
  template <int B, class T, class A>
  FRAMEGRAD_INLINE static void run(Panels<A> from, Index rows, Index cols, T* to, Index row_stride, const A* factors, A factor) {
    using Tl = Tiling<A, B>;
    using V = typename Tl::V;
    for (Index i = 0; i < rows; ++i) {
      const V f(factors ? factors[i] : factor);
      each<V>(cols, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA {
        l.store(to + i * row_stride, from.data ? detail::load_all<V>(from.template at<Tl>(i, l.index)) * f : V(0));
      });
    }
  }
};

inline constexpr Index kLinesAhead = 16;  // fetched with each tile: what the processor can have under way

enum class Left { plain, transposed };
enum class Start { zero, add, scaled };  // C counts not at all, as it is, or row i times keep[i]

/// C[M, N] ← start + A·B with A [M, K], or Aᵀ·B with A [K, M]; B [K, N]. M is rounded up to R, N to L: the rest is written too.
template <class Tl, Left side>
struct Multiply {
  using A = typename Tl::A;
  using V = typename Tl::V;
  static constexpr int L = Tl::L, W = Tl::W;

  template <int R, int N>
  FRAMEGRAD_INLINE static void tile(Index K, const A* a, Index a_panel, const A* b, A* c, Start start, const A* keep) {
    V acc[R][N];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) {
        if (start == Start::zero) acc[r][n] = V(0);
        else if (start == Start::add) acc[r][n] = detail::load_all<V>(c + r * W + n * L);
        else acc[r][n] = detail::load_all<V>(c + r * W + n * L) * V(keep[r]);
      }
    }
    const auto step = [&](const A* left) FRAMEGRAD_LAMBDA {
      V right[N];
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) right[n] = detail::load_all<V>(b + n * L);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const V l(left[side == Left::plain ? r * W : r]);
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) acc[r][n] = fma(l, right[n], acc[r][n]);
      }
      b += W;
    };
    if constexpr (side == Left::plain) {
      for (Index k0 = 0; k0 < K; k0 += W, a += a_panel) {
        const A* end = a + (K - k0 < W ? K - k0 : W);
        for (const A* left = a; left != end; ++left) step(left);
      }
    } else {
      for (Index k = 0; k < K; ++k) step(a + k * W);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) detail::store_all(c + r * W + n * L, acc[r][n]);
    }
  }

  /// The columns of one panel: N vectors.
  template <int N>
  FRAMEGRAD_INLINE static void columns(Index M, Index K, Panels<A> a, const A* b, A* c, Start start, const A* keep, RowsToCome* ahead) {
    // A single vector leaves half of the registers free: twice the rows hide the latency of the sums.
    constexpr int R = Tl::R, R2 = N == 1 && (side == Left::plain || W % (2 * R) == 0) ? 2 * R : R;
    const auto left = [&](Index i) FRAMEGRAD_LAMBDA { return side == Left::plain ? a.data + i * W : a.template at<Tl>(0, i); };
    Index i = 0;
    for (; i + R2 <= M; i += R2) {
      if (ahead) ahead->fetch(kLinesAhead);
      tile<R2, N>(K, left(i), a.rows * W, b, c + i * W, start, keep ? keep + i : nullptr);
    }
    for (; i < M; i += R) tile<R, N>(K, left(i), a.rows * W, b, c + i * W, start, keep ? keep + i : nullptr);
  }

  template <int B>
  FRAMEGRAD_INLINE static void run(Index M, Index N, Index K, Panels<A> a, Panels<A> b, Panels<A> c, Start start, const A* keep, RowsToCome* ahead = nullptr) {
    for (Index j = 0; j < N; j += W) {
      const A* right = b.template at<Tl>(0, j);
      A* out = c.template at<Tl>(0, j);
      const Index vectors = (N - j + L - 1) / L;
      if (vectors >= Tl::N) columns<Tl::N>(M, K, a, right, out, start, keep, ahead);
      else if (vectors == 1) columns<1>(M, K, a, right, out, start, keep, ahead);
      else columns<2>(M, K, a, right, out, start, keep, ahead);
    }
  }
};

template <class Tl, Left side, class P = Panels<typename Tl::A>>
FRAMEGRAD_INLINE void multiply(Index M, Index N, Index K, P a, P b, P c, Start start, const typename Tl::A* keep = nullptr, RowsToCome* ahead = nullptr) {
  call<Multiply<Tl, side>, Tl::V::bytes>(M, N, K, a, b, c, start, keep, ahead);
}

}  // namespace fg::inline FRAMEGRAD_ABI::cpu::attention
