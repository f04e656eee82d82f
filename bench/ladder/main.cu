// bench_ladder — every step of the ladders on a GPU: its time, its rate, its share of what the device does at best, and the engine's own kernel after them.
//
//   bench_ladder [--help] [gemm] [layer_norm] [conv3d] [attention]     none named: all
//
// A step's result is first compared with step 1's. Times are medians of 15 runs, each between two events of the stream.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string_view>
#include <type_traits>
#include <vector>

#include <framegrad/core/backend.hpp>
#include <framegrad/cuda/attention.hpp>
#include <framegrad/cuda/conv.hpp>
#include <framegrad/cuda/gemm.hpp>
#include <framegrad/cuda/layer_norm.hpp>

#include "bench/ladder/attention.cuh"
#include "bench/ladder/conv3d.cuh"
#include "bench/ladder/gemm.cuh"
#include "bench/ladder/layer_norm.cuh"

namespace {

using namespace ladder;

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(Index n) : bytes_(n * Index(sizeof(T))), data_(static_cast<T*>(fg::cuda::allocate(bytes_, 0))) {}
  ~DeviceArray() { fg::cuda::release(data_, bytes_, 0); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  operator T*() const { return data_; }
  Index bytes() const { return bytes_; }

 private:
  Index bytes_;
  T* data_;
};

/// Numbers between −1 and 1 that bf16 holds exactly, in both types.
struct Numbers {
  DeviceArray<float> f32;
  DeviceArray<bf16> b16;
  explicit Numbers(Index n) : f32(n), b16(n) {
    static unsigned state = 1;
    std::vector<float> wide(std::size_t(n), 0.0f);
    std::vector<bf16> narrow(wide.size());
    for (std::size_t i = 0; i < wide.size(); ++i) {
      state = state * 1664525u + 1013904223u;
      wide[i] = float(int(state >> 24)) / 128.0f - 1.0f;
      narrow[i] = bf16(wide[i]);
    }
    fg::cuda::copy_to_device(f32, wide.data(), f32.bytes());
    fg::cuda::copy_to_device(b16, narrow.data(), b16.bytes());
    fg::cuda::synchronize();
  }
};

struct Times {
  double median_s, spread;  // spread: slowest − fastest, over the median
};
template <class F>
Times time_of(F&& run) {
  const auto stream = static_cast<cudaStream_t>(fg::cuda::current_stream());
  cudaEvent_t begin, end;
  fg::cuda::check_call(cudaEventCreate(&begin), "making an event");
  fg::cuda::check_call(cudaEventCreate(&end), "making an event");
  std::vector<float> ms(15);
  run(), run();
  for (float& t : ms) {
    fg::cuda::check_call(cudaEventRecord(begin, stream), "recording an event");
    run();
    fg::cuda::check_call(cudaEventRecord(end, stream), "recording an event");
    fg::cuda::check_call(cudaEventSynchronize(end), "waiting for a step");
    fg::cuda::check_call(cudaEventElapsedTime(&t, begin, end), "reading a time");
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  std::sort(ms.begin(), ms.end());
  return {ms[7] * 1e-3, (ms.back() - ms.front()) / ms[7]};
}

/// What the device does at best: copies of 1 GiB, and its library's products of 8192 × 8192.
struct Peaks {
  double copy, f32, bf16;  // bytes/s, FLOP/s

  static Peaks measured() {
    constexpr Index kBytes = Index(1) << 30, n = 8192;
    const DeviceArray<unsigned char> from(kBytes), to(kBytes);
    const double copy = 2.0 * kBytes / time_of([&] { fg::cuda::copy_on_device(to, from, kBytes); }).median_s;
    return {copy, product<float>(n), product<fg::bf16>(n)};
  }

 private:
  template <class T>
  static double product(Index n) {
    const DeviceArray<T> a(n * n), c(n * n);
    fg::cuda::check_call(cudaMemsetAsync(a, 0x3c, std::size_t(a.bytes()), static_cast<cudaStream_t>(fg::cuda::current_stream())), "filling memory");  // 0.01, in either type
    return 2.0 * n * n * n / time_of([&] { fg::cuda::GemmKernels<T>::multiply({n, n, n}, {a, n, 1}, {a, n, 1}, c, n); }).median_s;
  }
};

enum class Bound { memory, products };

template <class Problem>
class Climb {
 public:
  Climb(const char* title, Bound bound, const Problem& p, float* out, Index count, const Peaks& peaks)
      : problem_(p), bound_(bound), out_(out), count_(count), peaks_(peaks) {
    std::printf("\n%s\n", title);
  }

  /// Whether all steps agree with the first one.
  template <std::size_t N>
  bool steps(const Rung<Problem> (&rungs)[N]) {
    std::vector<float> first;
    bool right = true;
    for (const auto& rung : rungs) {
      fg::cuda::fill_zero(out_, count_ * 4);
      rung.run(problem_);
      std::vector<float> got(static_cast<std::size_t>(count_));
      fg::cuda::copy_to_host(got.data(), out_, count_ * 4);
      if (first.empty()) first = got;
      float largest = 0.0f;
      for (const float v : first) largest = std::max(largest, std::abs(v));
      const float allowed = (rung.bf16 ? 1e-2f : 1e-4f) * largest;  // attention rounds its weights to bf16
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < got.size(); ++i) wrong += !(std::abs(got[i] - first[i]) <= allowed);  // NaN counts
      row(rung.name, rung.bf16, [&] { rung.run(problem_); });
      if (wrong) std::printf("    WRONG: %zu of %zu numbers are not step 1's\n", wrong, got.size());
      right = right && wrong == 0;
    }
    return right;
  }
  template <class F>
  void row(const char* name, bool bf16, F&& run) {
    const Times t = time_of(run);
    const double rate = (bound_ == Bound::memory ? problem_.least_bytes(bf16) : problem_.flops()) / t.median_s;
    const double peak = bound_ == Bound::memory ? peaks_.copy : bf16 ? peaks_.bf16 : peaks_.f32;
    std::printf("  %-28s %10.3f ms  ±%4.1f %%  %8.1f %s  %5.1f %% of %s\n", name, t.median_s * 1e3, t.spread * 50, bound_ == Bound::memory ? rate * 1e-9 : rate * 1e-12,
                bound_ == Bound::memory ? "GB/s" : "TFLOP/s", rate / peak * 100, bound_ == Bound::memory ? "copying" : bf16 ? "bf16 products" : "f32 products");
  }

 private:
  Problem problem_;
  Bound bound_;
  float* out_;
  Index count_;
  const Peaks& peaks_;
};

bool climb_gemm(const Peaks& peaks) {
  constexpr Index M = 4096, N = 4608, K = 1152;  // the first product of STDiT-XL/2's MLP
  const Numbers a(M * K), b(K * N);
  const DeviceArray<float> c(M * N);
  const DeviceArray<bf16> c16(M * N);
  Climb climb("gemm 4096x4608x1152", Bound::products, Gemm{int(M), int(N), int(K), a.f32, b.f32, a.b16, b.b16, c}, c, M * N, peaks);
  const bool right = climb.steps(kGemmRungs);
  climb.row("cuda/gemm.cu, f32", false, [&] { fg::cuda::GemmKernels<float>::multiply({M, N, K}, {a.f32, K, 1}, {b.f32, N, 1}, c, N); });
  climb.row("cuda/gemm.cu, bf16", true, [&] { fg::cuda::GemmKernels<bf16>::multiply({M, N, K}, {a.b16, K, 1}, {b.b16, N, 1}, c16, N); });
  return right;
}

bool climb_layer_norm(const Peaks& peaks) {
  constexpr Index rows = 32768, C = 1152;  // STDiT-XL/2's width, and more rows than a cache holds
  const Numbers x(rows * C), gamma(C), beta(C);
  const DeviceArray<float> y(rows * C);
  Climb climb("layer_norm 32768x1152", Bound::memory, LayerNorm{int(rows), int(C), 1e-5f, x.f32, gamma.f32, beta.f32, y}, y, rows * C, peaks);
  const bool right = climb.steps(kLayerNormRungs);
  climb.row("cuda/layer_norm.cuh", false, [&] { fg::cuda::LayerNormKernels<float>::forward({1, rows, C}, 1e-5f, x.f32, gamma.f32, beta.f32, y, nullptr, nullptr); });
  return right;
}

bool climb_conv3d(const Peaks& peaks) {
  constexpr Index T = 8, H = 60, W = 90, C = 128, O = 128;  // a video autoencoder's middle
  const Numbers x(T * H * W * C), weights(O * kTaps * C);
  const DeviceArray<float> y(T * H * W * O);
  const DeviceArray<bf16> y16(T * H * W * O);
  Climb climb("conv3d 8x60x90, 128 to 128", Bound::products, Conv3d{int(T), int(H), int(W), int(C), int(O), x.f32, weights.f32, x.b16, weights.b16, y}, y, T * H * W * O, peaks);
  const bool right = climb.steps(kConv3dRungs);
  fg::cuda::ConvSizes s{{{T, T, 3, 1, 1, 1, 9 * C}, {H, H, 3, 1, 1, 1, 3 * C}, {W, W, 3, 1, 1, 1, C}}, 1, C, O, 1, kTaps * C, 1};
  climb.row("cuda/conv.cuh, f32", false, [&] { fg::cuda::ConvKernels<float>::forward(s, x.f32, weights.f32, nullptr, y); });
  climb.row("cuda/conv.cuh, bf16", true, [&] { fg::cuda::ConvKernels<bf16>::forward(s, x.b16, weights.b16, nullptr, y16); });
  return right;
}

bool climb_attention(const Peaks& peaks) {
  constexpr Index sequences = 16, N = 2048, D = kHeadDim;
  const Numbers q(sequences * N * D), k(sequences * N * D), v(sequences * N * D);
  const DeviceArray<float> scores(sequences * N * N), y(sequences * N * D);
  const DeviceArray<bf16> y16(sequences * N * D);
  Climb climb("attention 16x2048x64", Bound::products, Attention{int(sequences), int(N), int(N), 0.125f, q.f32, k.f32, v.f32, q.b16, k.b16, v.b16, scores, y}, y, sequences * N * D, peaks);
  const bool right = climb.steps(kAttentionRungs);
  const auto rows = [](auto* data) { return fg::cuda::AttentionRows<std::remove_pointer_t<decltype(data)>>{data, N * D, 0, 0, D}; };
  const auto in = [&](const bf16* p) { return rows(p); };
  climb.row("cuda/attention_forward.cuh", true, [&] {
    fg::cuda::AttentionKernels<bf16>::forward({sequences, 1, 1, N, N, D, 0.125f, in(q.b16), in(k.b16), in(v.b16), nullptr, {}, {}}, rows(static_cast<bf16*>(y16)), nullptr);
  });
  return right;
}

struct Ladder {
  std::string_view name;
  bool (*climb)(const Peaks&);
};
constexpr Ladder kLadders[] = {{"gemm", climb_gemm}, {"layer_norm", climb_layer_norm}, {"conv3d", climb_conv3d}, {"attention", climb_attention}};

}  // namespace

int main(int argc, char** argv) {
  std::vector<const Ladder*> wanted;
  for (int i = 1; i < argc; ++i) {
    const auto named = std::find_if(std::begin(kLadders), std::end(kLadders), [&](const Ladder& l) { return l.name == argv[i]; });
    if (named == std::end(kLadders)) {
      const bool help = std::string_view(argv[i]) == "--help";
      std::fprintf(help ? stdout : stderr, "usage: bench_ladder [gemm] [layer_norm] [conv3d] [attention]\ntimes each step of the ladders (docs/ladder.md) on a GPU; none named: all\n");
      return help ? 0 : 2;
    }
    wanted.push_back(named);
  }
  if (wanted.empty()) {
    for (const Ladder& l : kLadders) wanted.push_back(&l);
  }
  if (fg::cuda::device_count() == 0) {
    std::fprintf(stderr, "bench_ladder: %s\n", fg::cuda::why_no_device());
    return 1;
  }
  try {
    const Peaks peaks = Peaks::measured();
    std::printf("%s: copying %.0f GB/s, products %.1f TFLOP/s in f32, %.1f in bf16\n", fg::cuda::facts(0).name, peaks.copy * 1e-9, peaks.f32 * 1e-12, peaks.bf16 * 1e-12);
    bool right = true;
    for (const Ladder* l : wanted) right = l->climb(peaks) && right;
    return right ? 0 : 1;
  } catch (const fg::Error& e) {
    std::fprintf(stderr, "bench_ladder: %s\n", e.what());
    return 1;
  }
}
