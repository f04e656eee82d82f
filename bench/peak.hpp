// What this machine can do at best, measured by the program that says how much of it a row uses.
//
//   fma      a·b + c over vectors of the path taken, in registers; 2 operations a lane
//   bf16     products of bf16 pairs summed in f32: TDPBF16PS on tiles, or VDPBF16PS; where there is neither, as fma
//   copy     memcpy by all threads, bytes read and written: between buffers of 16 MB, and of 256 MB
//
// Each is the best of several tries by all threads at once. Where others use the machine, it is what was left in a good moment.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <framegrad/core/dtype.hpp>
#include <framegrad/core/parallel.hpp>
#include <framegrad/cpu/dispatch.hpp>
#include <framegrad/cpu/gemm_amx.hpp>
#include <framegrad/cpu/simd.hpp>
#include <framegrad/ops/matmul.hpp>

namespace bench {

using fg::Index;

inline double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

struct Peaks {
  double fma = 0, bf16 = 0;              // FLOP/s
  double copy_small = 0, copy_large = 0; // bytes/s
  static constexpr double kSmall = 64e6; // work that touches fewer bytes is held against copy_small

  double flops(fg::Dtype d) const { return d == fg::Dtype::bf16 ? bf16 : fma; }
  double copy(double bytes) const { return bytes < kSmall ? copy_small : copy_large; }
};

namespace detail {

struct FmaLoop {
  static constexpr int kChains = 12;  // two units with a latency of four or five, and registers for AVX2's sixteen
  template <int B>
  FRAMEGRAD_INLINE static void run(Index n, float* out) {
    using V = fg::cpu::Vec<float, B>;
    V a[kChains];
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) a[i] = V(float(i) * out[0]);
    const V factor(1.0f - 1e-6f + out[0]), term(1e-6f);
    for (Index k = 0; k < n; ++k) {
#pragma GCC unroll 12
      for (int i = 0; i < kChains; ++i) a[i] = fma(a[i], factor, term);
    }
    V sum = a[0];
    for (int i = 1; i < kChains; ++i) sum += a[i];
    out[0] = sum[0] * 0;
  }
  static double flops(Index n) {
    const auto isa = fg::cpu::isa();
    const int bytes = isa >= fg::cpu::Isa::avx512 ? 64 : isa >= fg::cpu::Isa::avx2 ? 32 : 16;
    return 2.0 * kChains * double(bytes / 4) * double(n);
  }
};

#if defined(__x86_64__)
[[gnu::target("avx512f,avx512bw,avx512vl,avx512bf16")]] inline void dot_loop(Index n, float* out) {
  __m512 a[12];
#pragma GCC unroll 12
  for (int i = 0; i < 12; ++i) a[i] = _mm512_set1_ps(float(i) * out[0]);
  const __m512bh ones = _mm512_cvtne2ps_pbh(_mm512_set1_ps(out[0]), _mm512_set1_ps(out[0]));
  for (Index k = 0; k < n; ++k) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) a[i] = _mm512_dpbf16_ps(a[i], ones, ones);
  }
  __m512 sum = a[0];
  for (int i = 1; i < 12; ++i) sum = _mm512_add_ps(sum, a[i]);
  out[0] = _mm512_cvtss_f32(sum) * 0;
}
inline constexpr double kDotFlops = 12.0 * 16 * 4;

[[gnu::target("amx-tile,amx-bf16")]] inline void tile_loop(Index n) {
  alignas(64) static constexpr fg::cpu::detail::TileConfig config;
  __asm__ volatile("ldtilecfg %0" : : "m"(config));
  __asm__ volatile("tilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2\n\ttilezero %%tmm3\n\t"
                   "tilezero %%tmm4\n\ttilezero %%tmm5\n\ttilezero %%tmm6\n\ttilezero %%tmm7" : : :);
  for (Index k = 0; k < n; ++k)
    __asm__ volatile("tdpbf16ps %%tmm6, %%tmm4, %%tmm0\n\ttdpbf16ps %%tmm7, %%tmm4, %%tmm1\n\t"
                     "tdpbf16ps %%tmm6, %%tmm5, %%tmm2\n\ttdpbf16ps %%tmm7, %%tmm5, %%tmm3" : : :);
  __asm__ volatile("tilerelease" : : :);
}
inline constexpr double kTileFlops = 4.0 * 16 * 16 * 64;
#endif

/// The best rate of `tries` runs of work(thread) by all threads; `amount` is one thread's. They wait for each other without sleeping and
/// begin together, so that a short try is one of all threads at once, also on a machine that others use.
template <class F>
double best_rate(double amount, int tries, F&& work) {
  const int threads = fg::threads();
  std::atomic<int> arrived{0};
  std::vector<double> begin(static_cast<std::size_t>(threads)), end(static_cast<std::size_t>(threads));
  const auto meet = [&](int count) {
    arrived.fetch_add(1);
    while (arrived.load() < count) {}
  };
  double best = 0;
  const auto loop = [&](int t) {
    for (int i = 0; i < tries; ++i) {
      meet((2 * i + 1) * threads);
      begin[std::size_t(t)] = now_s();
      work(t);
      end[std::size_t(t)] = now_s();
      meet((2 * i + 2) * threads);
      const double took = *std::max_element(end.begin(), end.end()) - *std::min_element(begin.begin(), begin.end());
      if (t == 0) best = std::max(best, amount * threads / took);
    }
  };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back(loop, t);
  loop(0);
  for (auto& o : others) o.join();
  return best;
}

inline double copy_rate(Index bytes, int tries) {
  std::vector<char> from(static_cast<std::size_t>(bytes), 1), to(static_cast<std::size_t>(bytes), 2);
  const Index part = bytes / fg::threads();
  return best_rate(2.0 * double(part), tries, [&](Index t) { std::memcpy(to.data() + t * part, from.data() + t * part, std::size_t(part)); });
}

}  // namespace detail

/// Takes about a second on a machine that nobody else uses.
inline Peaks measure_peaks() {
  Peaks p;
  constexpr int kTries = 2000;      // of a tenth of a millisecond: a busy machine rarely leaves all threads alone for longer
  constexpr Index kFma = 1 << 15;
  std::vector<float> out(std::size_t(fg::threads()) * 16);
  p.fma = detail::best_rate(detail::FmaLoop::flops(kFma), kTries, [&](Index t) { fg::cpu::dispatch<detail::FmaLoop>(kFma, &out[std::size_t(t) * 16]); });
  p.bf16 = p.fma;
#if defined(__x86_64__)
  constexpr Index kDot = 1 << 15, kTile = 1 << 12;
  if (fg::cpu::isa() >= fg::cpu::Isa::avx512_bf16)
    p.bf16 = std::max(p.bf16, detail::best_rate(detail::kDotFlops * double(kDot), kTries, [&](Index t) { detail::dot_loop(kDot, &out[std::size_t(t) * 16]); }));
  if (fg::cpu::isa() == fg::cpu::Isa::amx)
    p.bf16 = std::max(p.bf16, detail::best_rate(detail::kTileFlops * double(kTile), kTries, [](Index) { detail::tile_loop(kTile); }));
#endif
  p.copy_small = detail::copy_rate(Index(16) << 20, 200);
  p.copy_large = detail::copy_rate(Index(256) << 20, 8);
  return p;
}

/// The same of a GPU: copies on it, and products of 8192 x 8192 matrices as its library has them.
inline Peaks measure_peaks(fg::Device device) {
  if (device == fg::kCpu) return measure_peaks();
  Peaks p;
  if constexpr (fg::kWithCuda) {
    const fg::NoGrad off;
    const auto best = [](double amount, auto&& run) {
      run(), fg::cuda::synchronize();
      double fastest = 1e9;
      for (int i = 0; i < 20; ++i) {
        const double begin = now_s();
        run();
        fg::cuda::synchronize();
        fastest = std::min(fastest, now_s() - begin);
      }
      return amount / fastest;
    };
    const auto copy = [&](Index bytes) {
      const fg::AnyTensor a = fg::AnyTensor::empty(fg::Dtype::u8, fg::Shape{bytes}, device), b = fg::AnyTensor::empty(fg::Dtype::u8, fg::Shape{bytes}, device);
      return best(2.0 * double(bytes), [&] { fg::copy_into(a, b); });
    };
    p.copy_small = copy(Index(16) << 20), p.copy_large = copy(Index(1) << 30);
    const auto product = [&]<class T>(T) {
      constexpr Index n = 8192;
      const auto a = fg::full<T, 2>({n, n}, T(0.5f), device);
      return best(2.0 * n * n * n, [&] { fg::matmul(a, a); });
    };
    p.fma = product(float{}), p.bf16 = product(fg::bf16{});
  }
  return p;
}

}  // namespace bench
