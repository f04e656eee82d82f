// What happens to a sum on its way into the result: scale, add, bias, activation, rounding.
//
//   h = alpha·s (+ c) + bias         pre_activation = h        c = f(h)
#pragma once

#include <framegrad/cpu/math.hpp>

namespace fg::inline FRAMEGRAD_ABI::cpu {

enum class Activation { none, gelu_tanh, gelu_erf, silu, relu };

/// f of a scalar or a vector.
template <Activation f, class V>
FRAMEGRAD_INLINE V activate(const V& x) {
  constexpr double c = 1.5957691216057308;  // 2·√(2/π): ½(1 + tanh u) = σ(2u)
  if constexpr (f == Activation::gelu_tanh) return x * sigmoid(x * (V(c) + V(c * 0.044715) * x * x));
  else if constexpr (f == Activation::gelu_erf && requires { normal_cdf(x); }) return x * normal_cdf(x);
  else if constexpr (f == Activation::gelu_erf) return V(0.5) * x * (V(1) + erf(x * V(0.70710678118654752)));
  else if constexpr (f == Activation::silu) return x * sigmoid(x);
  else if constexpr (f == Activation::relu) return max(V(0), x);  // in this order a NaN stays one
  else return x;
}

template <class Out>
struct GemmOptions {
  accum_t<Out> alpha = 1;
  bool accumulate = false;          // c += instead of c =
  const Out* bias = nullptr;        // [n]
  Activation activation = Activation::none;
  Out* pre_activation = nullptr;    // [m, n], rows as far apart as c's
};

namespace detail {
/// Where a sum becomes bf16 by AVX512-BF16's instruction: as fg::bf16 rounds, but what is below 2^-126 is zero, as it is
/// to that instruction set's products. clang refuses a register of 64 bytes in a function that it is not told it for: it rounds as fg::bf16.
FRAMEGRAD_INLINE void store_by_instruction(const Lanes<Vec<float, 64>>& l, bf16* to, const Vec<float, 64>& x) {
#if defined(__x86_64__) && !defined(__clang__)
  Native<std::uint16_t, 32>::type rounded;
  __asm__("vcvtneps2bf16 %1, %0" : "=v"(rounded) : "v"(x.v));
  if (l.count == l.N) {
    __builtin_memcpy(static_cast<void*>(to + l.index), &rounded, sizeof rounded);
  } else {
    bf16 part[l.N];
    __builtin_memcpy(static_cast<void*>(part), &rounded, sizeof rounded);
    copy_rest<l.N / 2>(to + l.index, part, l.count);
  }
#else
  l.store(to, x);
#endif
}
}  // namespace detail

namespace detail {
/// Rows of sums rounded as above and nothing else, a line of 32 at a time.
[[gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]] inline void round_rows(Index rows, Index columns, const float* sums, Index lds, bf16* c, Index ldc) {
#if defined(__x86_64__)
  for (Index i = 0; i < rows; ++i)
    for (Index j = 0; j < columns; j += 32) {
      const auto low = load_all<Vec<float, 64>>(sums + i * lds + j), high = load_all<Vec<float, 64>>(sums + i * lds + j + 16);
      Native<std::uint16_t, 64>::type rounded;
      __asm__("vcvtne2ps2bf16 %1, %2, %0" : "=v"(rounded) : "v"(low.v), "v"(high.v));
      __builtin_memcpy(static_cast<void*>(c + i * ldc + j), &rounded, sizeof rounded);
    }
#endif
}
}  // namespace detail

/// has_bf16: the processor has an instruction that rounds to it.
template <class A, class Out, bool has_bf16 = false>
struct GemmEpilogue {
  template <int B>
  FRAMEGRAD_INLINE static void run(Index rows, Index columns, const A* sums, Index lds, Out* c, Index ldc, const GemmOptions<Out>& o) {
    if constexpr (has_bf16 && B == 64) {
      if (columns % 32 == 0 && o.alpha == 1 && !o.accumulate && !o.bias && !o.pre_activation && o.activation == Activation::none)
        return detail::round_rows(rows, columns, sums, lds, c, ldc);
    }
    switch (o.activation) {
      case Activation::none: return with<Activation::none, B>(rows, columns, sums, lds, c, ldc, o);
      case Activation::gelu_tanh: return with<Activation::gelu_tanh, B>(rows, columns, sums, lds, c, ldc, o);
      case Activation::gelu_erf: return with<Activation::gelu_erf, B>(rows, columns, sums, lds, c, ldc, o);
      case Activation::silu: return with<Activation::silu, B>(rows, columns, sums, lds, c, ldc, o);
      case Activation::relu: return with<Activation::relu, B>(rows, columns, sums, lds, c, ldc, o);
    }
  }

 private:
  template <Activation f, int B>
  FRAMEGRAD_INLINE static void with(Index rows, Index columns, const A* sums, Index lds, Out* c, Index ldc, const GemmOptions<Out>& o) {
    using V = Vec<A, B>;
    const auto put = [](const Lanes<V>& l, Out* to, const V& x) FRAMEGRAD_LAMBDA {
      if constexpr (has_bf16 && B == 64) detail::store_by_instruction(l, to, x);
      else l.store(to, x);
    };
    const A alpha = o.alpha;
    const bool accumulate = o.accumulate;
    const Out* const bias = o.bias;
    for (Index i = 0; i < rows; ++i) {
      const A* s = sums + i * lds;
      Out* to = c + i * ldc;
      Out* const pre = o.pre_activation ? o.pre_activation + i * ldc : nullptr;
      each<V>(columns, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA {
        V h = l.load(s) * alpha;
        if (accumulate) h += l.load(to);
        if (bias) h += l.load(bias);
        if (pre) put(l, pre, h);
        put(l, to, activate<f>(h));
      });
    }
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::cpu
