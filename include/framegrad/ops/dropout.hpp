// dropout — zero some elements, scale the others so that the mean stays.
//
//   y = x / (1 − p) where u ≥ p, else 0      u uniform in [0, 1), of Philox(seed, stream, step, index in logical order)
//
// Nothing is saved: backward draws the same numbers again.                 Srivastava et al. 2014 (JMLR 15, 1929)
#pragma once

#include <framegrad/core/random_state.hpp>
#include <framegrad/cpu/simd.hpp>
#include <framegrad/cuda/dropout.hpp>
#include <framegrad/op.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

template <class T>
struct Dropout {
  static constexpr std::string_view name = "dropout";
  static constexpr Layout layout = Layout::row_major;
  using A = accum_t<T>;

  struct Attrs { float p; RandomDraw draw; };
  struct In { Tensor<T> x; };
  struct Out { Tensor<T> y; };
  struct Saved {};

  static void infer(const Attrs& a, const In& in, Out& out, Saved&) {
    check<ConfigError>(a.p >= 0 && a.p < 1, name, "p is ", a.p, ", it must be in [0, 1)");
    out = {like(in.x)};
  }

  // Counters in lanes: ten rounds for as many blocks of four numbers as a vector has lanes.
  struct Mask {
    template <int B>
    FRAMEGRAD_INLINE static void run(Range r, const Attrs& a, const T* x, T* y) {  // r begins at a multiple of kBlock
      using U = cpu::Vec<std::uint32_t, B>;
      using V = cpu::Vec<A, B>;
      constexpr int N = U::lanes;
      alignas(64) std::uint32_t bits[4 * N];
      const A keep = 1 / (1 - A(a.p));
      for (Index i = r.begin; i < r.end; i += 4 * N) {
        draw<B>(a.draw, std::uint64_t(i) / 4, bits);
        const Index n = std::min<Index>(4 * N, r.end - i);
        for (Index j = 0; j < n; j += V::lanes) {
          const cpu::Lanes<V> l{i + j, int(std::min<Index>(V::lanes, n - j))};
          V scale;
          for (int k = 0; k < V::lanes; ++k) scale.v[k] = uniform_from_bits(bits[j + k]) < a.p ? A(0) : keep;
          l.store(y, l.load(x) * scale);
        }
      }
    }
    /// Values 4·block … 4·(block + N) − 1 of the draw. The low 32 bits of block + lane don't overflow into the high ones: kBlock.
    template <int B>
    FRAMEGRAD_INLINE static void draw(const RandomDraw& d, std::uint64_t block, std::uint32_t* bits) {
      using U = cpu::Vec<std::uint32_t, B>;
      constexpr int N = U::lanes;
      U c0, c1, c2, c3;
      for (int k = 0; k < N; ++k) c0.v[k] = std::uint32_t(block) + std::uint32_t(k), c1.v[k] = std::uint32_t(block >> 32), c2.v[k] = d.step, c3.v[k] = d.stream;
      std::uint32_t k0 = std::uint32_t(d.seed), k1 = std::uint32_t(d.seed >> 32);
      for (int round = 0; round < 10; ++round) {
        U high0, low0, high1, low1;
        multiply<B>(c0, 0xD2511F53u, high0, low0);
        multiply<B>(c2, 0xCD9E8D57u, high1, low1);
        U key0, key1;
        key0.v = k0 - typename U::Native{}, key1.v = k1 - typename U::Native{};
        c0 = high1 ^ c1 ^ key0, c1 = low1, c2 = high0 ^ c3 ^ key1, c3 = low0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
      }
      for (int k = 0; k < N; ++k) bits[4 * k] = c0.v[k], bits[4 * k + 1] = c1.v[k], bits[4 * k + 2] = c2.v[k], bits[4 * k + 3] = c3.v[k];
    }
    /// The 64 bits of x·m: even and odd lanes apart, as the processors multiply them.
    template <int B>
    FRAMEGRAD_INLINE static void multiply(const cpu::Vec<std::uint32_t, B>& x, std::uint32_t m, cpu::Vec<std::uint32_t, B>& high, cpu::Vec<std::uint32_t, B>& low) {
      using W = cpu::Vec<std::uint64_t, B>;
      W lower;
      lower.v = std::uint64_t(0xffffffffu) - typename W::Native{};
      const W wide = cpu::bits_as<std::uint64_t>(x);
      const W even = W::of((wide & lower).v * std::uint64_t(m)), odd = W::of((wide >> 32).v * std::uint64_t(m));
      low = cpu::bits_as<std::uint32_t>((even & lower) | (odd << 32));
      high = cpu::bits_as<std::uint32_t>((even >> 32) | (odd & W::of(~lower.v)));
    }
  };
  static constexpr Index kBlock = 64;  // a multiple of what any path draws at once

  static void mask(const Attrs& a, const T* x, T* y, Index count) {
    parallel_for(count, 1.5, [&](Range r) { cpu::dispatch<Mask>(r, a, x, y); }, kBlock);
  }
  static void forward(Cpu, const Attrs& a, const In& in, Out& out, Saved*) { mask(a, in.x.data(), out.y.data(), in.x.count()); }
  static void backward(Cpu, const Attrs& a, const Saved&, const Out& g, In& d) { mask(a, g.y.data(), d.x.data(), g.y.count()); }

  static void forward(Cuda, const Attrs& a, const In& in, Out& out, Saved*) requires OnDevice<T> {
    cuda::DropoutKernels<T>::mask(in.x.count(), a.p, a.draw.seed, a.draw.stream, a.draw.step, in.x.data(), out.y.data());
  }
  static void backward(Cuda, const Attrs& a, const Saved&, const Out& g, In& d) requires OnDevice<T> {
    cuda::DropoutKernels<T>::mask(g.y.count(), a.p, a.draw.seed, a.draw.stream, a.draw.step, g.y.data(), d.x.data());
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// x [...] → [...], each element 0 with probability p, by this thread's RandomState. x itself when not training or p is 0. Throws ConfigError
/// unless p is in [0, 1).
template <class T, int R>
Tensor<T, R> dropout(const Tensor<T, R>& x, float p, bool training) {
  if (!training || p == 0) return x;
  return Tensor<T, R>(apply<ops::Dropout<T>>({.p = p, .draw = next_draw()}, {x}));
}

}  // namespace fg::inline FRAMEGRAD_ABI
