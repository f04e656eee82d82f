// ldmatrix and mma.sync on the CPU: the fragments of the PTX ISA ("Warp-level matrix instructions"), a warp at a time.
//
// With g = lane / 4 and t = lane % 4, and {x, y} a register's low and high half:
//   A 16×16  a0 = {(g, 2t), (g, 2t+1)}   a1: row g+8   a2: columns +8   a3: both          tf32, 16×8: a0 = (g, t)  a1: row +8  a2: column +4  a3: both
//   B 16×8   b0 = {(2t, g), (2t+1, g)}   b1: rows +8                                      tf32, 8×8:  b0 = (t, g)  b1: row +4
//   C, D     c0 = (g, 2t)  c1 = (g, 2t+1)  c2, c3: row g+8
//   ldmatrix r[i] = {(g, 2t), (g, 2t+1)} of matrix i, whose eight rows lanes 8i … 8i+7 point to; transposed: {(2t, g), (2t+1, g)}
#pragma once

#include <cstring>

#include <cuda/simt/observer.hpp>
#include <cuda/simt/sync.hpp>
#include <framegrad/core/dtype.hpp>

namespace fg::inline FRAMEGRAD_ABI::simt {

inline constexpr unsigned kAllLanes = ~0u;

struct Rows {             // a lane's part of ldmatrix
  const void* row;
  unsigned* r;
  const void* pc;
};

template <int kMatrices, bool kTransposed>
void load_matrices(Thread* lanes, unsigned) {
  std::uint16_t m[kMatrices][8][8];
  for (int i = 0; i < 8 * kMatrices; ++i) {
    const Rows& rows = operand_of<Rows>(lanes, i);
    if (reinterpret_cast<std::uintptr_t>(rows.row) % 16) fail("ldmatrix: the row of lane " + std::to_string(i) + " is not aligned to 16 bytes", rows.pc);
    if (observer) observer->access(lanes[i], rows.row, 16, Access::read, rows.pc);
    std::memcpy(m[i / 8][i % 8], rows.row, 16);
  }
  for (int lane = 0; lane < kWarp; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < kMatrices; ++i) {
      const unsigned low = kTransposed ? m[i][2 * t][g] : m[i][g][2 * t], high = kTransposed ? m[i][2 * t + 1][g] : m[i][g][2 * t + 1];
      operand_of<Rows>(lanes, lane).r[i] = low | high << 16;
    }
  }
}
inline constexpr Collective kLdmatrix[2][3] = {
    {{"ldmatrix.x1", load_matrices<1, false>}, {"ldmatrix.x2", load_matrices<2, false>}, {"ldmatrix.x4", load_matrices<4, false>}},
    {{"ldmatrix.x1.trans", load_matrices<1, true>}, {"ldmatrix.x2.trans", load_matrices<2, true>}, {"ldmatrix.x4.trans", load_matrices<4, true>}}};

[[gnu::noinline]] inline void ldmatrix(int matrices, bool transposed, const void* row, unsigned* r, Where where) {
  Rows rows{row, r, __builtin_return_address(0)};
  collective(kLdmatrix[transposed][matrices / 2], kAllLanes, &rows, where);
}

struct Fragments {        // a lane's part of mma
  float* d;
  const unsigned* a;
  const unsigned* b;
  const float* c;
};

// D ← A·B + C in f32, the products of a row and a column added in the order of k.
template <int K>
void multiply(const float (&A)[16][K], const float (&B)[K][8], float (&C)[16][8]) {
  using Four = float __attribute__((vector_size(16)));
  for (int i = 0; i < 16; ++i) {
    Four low, high, b0, b1;
    std::memcpy(&low, C[i], 16), std::memcpy(&high, C[i] + 4, 16);
    for (int k = 0; k < K; ++k) {
      std::memcpy(&b0, B[k], 16), std::memcpy(&b1, B[k] + 4, 16);
      low += A[i][k] * b0;
      high += A[i][k] * b1;
    }
    std::memcpy(C[i], &low, 16), std::memcpy(C[i] + 4, &high, 16);
  }
}

template <class T>
float half_register(unsigned r, int upper) {
  T v;
  v.bits = std::uint16_t(r >> (16 * upper));
  return float(v);
}
struct Tf32 {};  // an f32 whose lowest 13 bits the tensor core does not see

template <class T>
void mma(Thread* lanes, unsigned) {
  constexpr bool kTf32 = std::is_same_v<T, Tf32>;
  constexpr int K = kTf32 ? 8 : 16;
  float A[16][K], B[K][8], C[16][8];
  for (int lane = 0; lane < kWarp; ++lane) {
    const int g = lane / 4, t = lane % 4;
    const auto& f = operand_of<Fragments>(lanes, lane);
    for (int i = 0; i < 4; ++i) C[g + 8 * (i / 2)][2 * t + i % 2] = f.c[i];
    if constexpr (kTf32) {
      const auto value = [](unsigned r) { return std::bit_cast<float>(r & 0xffffe000u); };
      for (int i = 0; i < 4; ++i) A[g + 8 * (i % 2)][t + 4 * (i / 2)] = value(f.a[i]);
      for (int i = 0; i < 2; ++i) B[t + 4 * i][g] = value(f.b[i]);
    } else {
      for (int half = 0; half < 2; ++half) {
        for (int i = 0; i < 4; ++i) A[g + 8 * (i % 2)][2 * t + half + 8 * (i / 2)] = half_register<T>(f.a[i], half);
        for (int i = 0; i < 2; ++i) B[2 * t + half + 8 * i][g] = half_register<T>(f.b[i], half);
      }
    }
  }
  multiply<K>(A, B, C);
  for (int lane = 0; lane < kWarp; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) operand_of<Fragments>(lanes, lane).d[i] = C[g + 8 * (i / 2)][2 * t + i % 2];
  }
}
inline constexpr Collective kMma[3] = {{"mma.m16n8k16 (bf16)", mma<bf16>}, {"mma.m16n8k16 (half)", mma<half>}, {"mma.m16n8k8 (tf32)", mma<Tf32>}};

inline void mma_sync(int kind, float* d, const unsigned* a, const unsigned* b, const float* c, Where where) {
  Fragments f{d, a, b, c};
  collective(kMma[kind], kAllLanes, &f, where);
}

}  // namespace fg::inline FRAMEGRAD_ABI::simt
