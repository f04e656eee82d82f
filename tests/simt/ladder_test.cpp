// The ladders of bench/ladder: every rung against a double loop, under the detectors, and what docs/ladder.md says of their traffic, counted.
// Compiled like detectors_test.cpp.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "bench/ladder/attention.cuh"
#include "bench/ladder/conv3d.cuh"
#include "bench/ladder/gemm.cuh"
#include "bench/ladder/layer_norm.cuh"
#include "cuda/simt/banks.hpp"
#include "cuda/simt/memory.hpp"
#include "cuda/simt/sectors.hpp"

namespace {

using namespace ladder;

/// Device memory, aligned to 64 bytes, with unused bytes around it.
template <class T>
class Buffer {
 public:
  explicit Buffer(int n) : memory_(new T[std::size_t(n) + 128]), data_(memory_.get() + 32), size_(n) {
    while (reinterpret_cast<std::uintptr_t>(data_) % 64) ++data_;
    fg::simt::memory().add(data_, std::size_t(n) * sizeof(T));
  }
  ~Buffer() { fg::simt::memory().remove(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  operator T*() { return data_; }
  T& operator[](int i) { return data_[i]; }
  int size() const { return size_; }

 private:
  std::unique_ptr<T[]> memory_;
  T* data_;
  int size_;
};

/// Numbers between −1 and 1 that bf16 holds exactly, in both types.
struct Numbers {
  Buffer<float> f32;
  Buffer<bf16> b16;
  explicit Numbers(int n) : f32(n), b16(n) {
    static unsigned state = 1;
    for (int i = 0; i < n; ++i) {
      state = state * 1664525u + 1013904223u;
      b16[i] = bf16(float(int(state >> 24)) / 128.0f - 1.0f);
      f32[i] = float(b16[i]);
    }
  }
};

/// What a sum of n products may be off by, for `size` = Σ |products|: half a unit in the last place of f32 a step.
double sum_error(int n, double size) { return (n + 2) * 0x1p-24 * size; }

/// The answer in double, and what f32 may be off by.
struct Answer {
  std::vector<double> value, error;
  void add(double v, double e) { value.push_back(v), error.push_back(e); }
};

struct GemmData {
  Numbers a, b;
  Buffer<float> out;
  Gemm p;
  GemmData(int M, int N, int K) : a(M * K), b(K * N), out(M * N), p{M, N, K, a.f32, b.f32, a.b16, b.b16, out} {}
  Answer answer() {
    Answer r;
    for (int i = 0; i < p.M; ++i)
      for (int j = 0; j < p.N; ++j) {
        double sum = 0, size = 0;
        for (int k = 0; k < p.K; ++k) {
          const double x = double(p.a[i * p.K + k]) * double(p.b[k * p.N + j]);
          sum += x, size += std::abs(x);
        }
        r.add(sum, sum_error(p.K, size));
      }
    return r;
  }
};

struct LayerNormData {
  Numbers x, gamma, beta;
  Buffer<float> out;
  LayerNorm p;
  LayerNormData(int rows, int C) : x(rows * C), gamma(C), beta(C), out(rows * C), p{rows, C, 1e-5f, x.f32, gamma.f32, beta.f32, out} {
    for (int i = 0; i < rows * C; ++i) x.f32[i] += 3.0f;  // a mean far from 0: where Σx² − (Σx)²/C would lose digits
  }
  Answer answer() {
    Answer r;
    for (int i = 0; i < p.rows; ++i) {
      const float* row = p.x + i * p.C;
      double mean = 0, variance = 0;
      for (int c = 0; c < p.C; ++c) mean += double(row[c]) / p.C;
      for (int c = 0; c < p.C; ++c) variance += std::pow(double(row[c]) - mean, 2) / p.C;
      const double deviation = std::sqrt(variance + double(p.eps));
      for (int c = 0; c < p.C; ++c)  // the mean of numbers up to 4 is off by so much; so is x̂, in units of the deviation
        r.add((double(row[c]) - mean) / deviation * double(p.gamma[c]) + double(p.beta[c]), sum_error(p.C, 4) / deviation);
    }
    return r;
  }
};

struct ConvData {
  Numbers x, weights;
  Buffer<float> out;
  Conv3d p;
  ConvData(int T, int H, int W, int C, int O)
      : x(T * H * W * C), weights(O * kTaps * C), out(T * H * W * O), p{T, H, W, C, O, x.f32, weights.f32, x.b16, weights.b16, out} {}
  Answer answer() {
    Answer r;
    for (int t = 0; t < p.T; ++t)
      for (int h = 0; h < p.H; ++h)
        for (int w = 0; w < p.W; ++w)
          for (int o = 0; o < p.O; ++o) {
            double sum = 0, size = 0;
            for (int dt = 0; dt < 3; ++dt)
              for (int dh = 0; dh < 3; ++dh)
                for (int dw = 0; dw < 3; ++dw) {
                  const int a = t + dt - 1, b = h + dh - 1, c = w + dw - 1;
                  if (a < 0 || a >= p.T || b < 0 || b >= p.H || c < 0 || c >= p.W) continue;
                  const float *from = p.x + ((a * p.H + b) * p.W + c) * p.C, *weight = p.weights + (o * 27 + dt * 9 + dh * 3 + dw) * p.C;
                  for (int i = 0; i < p.C; ++i) sum += double(from[i]) * double(weight[i]), size += std::abs(double(from[i]) * double(weight[i]));
                }
            r.add(sum, sum_error(27 * p.C, size));
          }
    return r;
  }
};

struct AttentionData {
  Numbers q, k, v;
  Buffer<float> scores, out;
  Attention p;
  AttentionData(int sequences, int queries, int keys)
      : q(sequences * queries * kHeadDim), k(sequences * keys * kHeadDim), v(sequences * keys * kHeadDim), scores(sequences * queries * keys), out(sequences * queries * kHeadDim),
        p{sequences, queries, keys, 0.5f, q.f32, k.f32, v.f32, q.b16, k.b16, v.b16, scores, out} {}
  Answer answer() {
    Answer r;
    for (int s = 0; s < p.sequences; ++s)
      for (int n = 0; n < p.queries; ++n) {
        std::vector<double> w(std::size_t(p.keys)), y(kHeadDim);
        double sum = 0, largest = 0;
        for (int m = 0; m < p.keys; ++m) {
          double score = 0, size = 0;
          for (int d = 0; d < kHeadDim; ++d) {
            const double x = double(p.scale) * double(p.q[(s * p.queries + n) * kHeadDim + d]) * double(p.k[(s * p.keys + m) * kHeadDim + d]);
            score += x, size += std::abs(x);
          }
          sum += w[std::size_t(m)] = std::exp(score);
          largest = std::max(largest, size);
        }
        for (int m = 0; m < p.keys; ++m)
          for (int d = 0; d < kHeadDim; ++d) y[std::size_t(d)] += w[std::size_t(m)] / sum * double(p.v[(s * p.keys + m) * kHeadDim + d]);
        // A weight is off by what its score and the maximum's are off by; the values are below 1.
        for (const double v : y) r.add(v, 2 * sum_error(kHeadDim + 4, largest) + sum_error(p.keys + 8, 2));
      }
    return r;
  }
};

/// Runs a rung and compares. `more`: what bf16 may be off by beyond f32's error.
template <class Data, class Rung>
void expect_right(Data& d, const Rung& rung, const Answer& answer, double more = 0) {
  for (int i = 0; i < d.out.size(); ++i) d.out[i] = NAN;
  rung.run(d.p);
  for (int i = 0; i < d.out.size(); ++i) ASSERT_NEAR(double(d.out[i]), answer.value[std::size_t(i)], answer.error[std::size_t(i)] + more) << rung.name << ", number " << i;
}

/// "08_tensor_cores": 8
int step(const char* name) { return (name[0] - '0') * 10 + name[1] - '0'; }

TEST(Ladder, Gemm) {
  for (const auto& [M, N, K] : {std::array{1, 1, 1}, {37, 45, 19}, {133, 136, 40}, {130, 264, 8}}) {
    SCOPED_TRACE(fg::text(M, "x", N, "x", K));
    GemmData d(M, N, K);
    const Answer answer = d.answer();
    for (const auto& rung : kGemmRungs) {
      const int piece = rung.bf16 ? 8 : step(rung.name) >= 6 ? 4 : 1;
      if (K % piece == 0 && N % piece == 0) expect_right(d, rung, answer);
      else EXPECT_THROW(rung.run(d.p), fg::ShapeError) << rung.name;
    }
  }
}

TEST(Ladder, LayerNorm) {
  for (const auto& [rows, C] : {std::array{1, 1}, {5, 33}, {131, 100}, {3, 1536}, {2, 1540}}) {
    SCOPED_TRACE(fg::text(rows, "x", C));
    LayerNormData d(rows, C);
    const Answer answer = d.answer();
    for (const auto& rung : kLayerNormRungs) {
      if ((step(rung.name) < 4 || C <= 1536) && (step(rung.name) < 5 || C % 4 == 0)) expect_right(d, rung, answer);
      else EXPECT_THROW(rung.run(d.p), fg::ShapeError) << rung.name;
    }
  }
}

TEST(Ladder, Conv3d) {
  for (const auto& [T, H, W, C, O] : {std::array{1, 1, 1, 1, 1}, {2, 5, 7, 3, 5}, {1, 3, 9, 12, 33}, {3, 6, 11, 8, 67}}) {
    SCOPED_TRACE(fg::text(T, "x", H, "x", W, ", ", C, " to ", O));
    ConvData d(T, H, W, C, O);
    const Answer answer = d.answer();
    for (const auto& rung : kConv3dRungs) {
      if (C % (rung.bf16 ? 8 : step(rung.name) >= 4 ? 4 : 1) == 0) expect_right(d, rung, answer);
      else EXPECT_THROW(rung.run(d.p), fg::ShapeError) << rung.name;
    }
  }
}

TEST(Ladder, Attention) {
  for (const auto& [sequences, queries, keys] : {std::array{1, 1, 1}, {3, 37, 45}, {2, 70, 131}}) {
    SCOPED_TRACE(fg::text(sequences, "x", queries, "x", keys));
    AttentionData d(sequences, queries, keys);
    const Answer answer = d.answer();
    for (const auto& rung : kAttentionRungs) expect_right(d, rung, answer, rung.bf16 ? 0x1p-9 : 0);  // a weight is rounded to bf16 by 2⁻⁹ of it
  }
}

/// What a rung asks of memory: bytes of global memory for each that has to be moved, and passes of shared memory and conflicts among them for each
/// unit of work.
struct Traffic {
  double bytes, passes, conflicts;
};

/// Counts every rung of a ladder, and looks for its row in docs/ladder.md. `units`: multiply-adds of a warp, or 32 numbers of layer_norm.
template <class Data, class Rung, std::size_t N>
std::vector<Traffic> traffic_of(const char* ladder, Data& d, const Rung (&rungs)[N], double units) {
  std::ifstream file(FRAMEGRAD_SOURCE_DIR "/docs/ladder.md");
  const std::string page = (std::stringstream() << file.rdbuf()).str();
  auto& banks = fg::simt::bank_totals();
  auto& sectors = fg::simt::sector_totals();
  std::vector<Traffic> all;
  for (const auto& rung : rungs) {
    banks.reset(), sectors.reset();
    banks.counting = sectors.counting = true;
    rung.run(d.p);
    banks.counting = sectors.counting = false;
    const auto n = banks.sum();
    const Traffic t{32.0 * double(sectors.sum().sectors) / d.p.least_bytes(rung.bf16), double(n.accesses + n.conflicts) / units, double(n.conflicts) / units};
    char row[256];
    std::snprintf(row, sizeof row, "| [%s](../bench/ladder/%s/%s.cuh) | %.1f | %.2f | %.2f |", rung.name, ladder, rung.name, t.bytes, t.passes, t.conflicts);
#if !defined(__clang__)  // which splits and joins loads in its own way
    EXPECT_NE(page.find(row), std::string::npos) << "docs/ladder.md has no row\n" << row;
#endif
    all.push_back(t);
  }
  return all;
}

TEST(LadderTraffic, Gemm) {
  GemmData d(256, 256, 64);
  const auto t = traffic_of("gemm", d, kGemmRungs, d.p.flops() / 64);
  EXPECT_GT(t[0].bytes, 6 * t[1].bytes);     // neighbours in memory
  EXPECT_GT(t[1].bytes, 10 * t[2].bytes);    // shared tiles
  EXPECT_GT(t[2].passes, 2.5 * t[3].passes); // register tiles
  EXPECT_GT(t[3].conflicts, 0.4);
  for (const int i : {4, 5, 6}) EXPECT_EQ(t[std::size_t(i)].conflicts, 0) << i;
  EXPECT_LT(t[4].passes, 0.3);
  EXPECT_LT(t[7].passes, t[6].passes / 5);   // tensor cores
}

TEST(LadderTraffic, LayerNorm) {
  LayerNormData d(16, 1152);
  const auto t = traffic_of("layer_norm", d, kLayerNormRungs, 16 * 1152 / 32);
  EXPECT_GT(t[0].bytes, 4 * t[1].bytes);     // neighbours in memory
  EXPECT_GT(t[1].passes, 0);
  EXPECT_EQ(t[2].passes, 0);                 // shuffles
  EXPECT_LT(t[3].bytes, t[2].bytes - 0.9);   // x once in place of three times
  EXPECT_EQ(t[4].bytes, t[3].bytes);
}

TEST(LadderTraffic, Conv3d) {
  ConvData d(2, 8, 8, 16, 64);
  const auto t = traffic_of("conv3d", d, kConv3dRungs, d.p.flops() / 64);
  EXPECT_GT(t[0].bytes, 10 * t[1].bytes);    // shared cells
  EXPECT_GT(t[1].passes, 4 * t[2].passes);   // registers
  EXPECT_LT(t[2].conflicts, 0.05);
  EXPECT_LT(t[4].passes, t[3].passes / 5);   // tensor cores
}

TEST(LadderTraffic, Attention) {
  AttentionData d(1, 128, 128);
  const auto t = traffic_of("attention", d, kAttentionRungs, d.p.flops() / 64);
  EXPECT_GT(t[0].bytes, 4 * t[1].bytes);     // no scores in memory
  EXPECT_GT(t[1].bytes, 2 * t[2].bytes);     // shared keys
  EXPECT_GT(t[2].passes, 1.5 * t[3].passes); // products
  EXPECT_EQ(t[3].conflicts, 0);
  EXPECT_LT(t[4].passes, t[3].passes / 5);   // tensor cores
}

}  // namespace
