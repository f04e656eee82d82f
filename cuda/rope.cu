// rope and its gradient: pairs of a head's features turned by an angle of their position.
//
//   turn_rows   a warp owns a row of all heads; a lane owns 16 bytes of neighbouring pairs at a time, or one pair where rows or heads don't part so
//
// Bound by memory: x is read once, y written once; the angles of a position are read for each of its heads, from the caches.
#include <framegrad/cuda/rope.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
namespace {

inline constexpr int kRopeWarps = 4;  // of a block

struct RopeRow {
  int C, half;      // half: pairs of a head
  float direction;
};

/// W pairs from `pair` on: first and second numbers, as places in a row of x and y.
template <int W, bool Adjacent, class T>
__device__ __forceinline__ void turn(const T* x, T* y, int head, int pair, const RopeRow& r, const float* cos, Index cos_step, const float* sin, Index sin_step) {
  const auto turned = [&](int k, T& a, T& b) {
    const float c = cos[(pair + k) * cos_step], s = r.direction * sin[(pair + k) * sin_step], first = to_float(a), second = to_float(b);
    a = from_float<T>(first * c - second * s), b = from_float<T>(second * c + first * s);
  };
  const int start = 2 * r.half * head + (Adjacent ? 2 * pair : pair);
  if constexpr (Adjacent && W > 1) {
    auto v = load_pack<2 * W>(x + start);
#pragma unroll
    for (int k = 0; k < W; ++k) turned(k, v.v[2 * k], v.v[2 * k + 1]);
    store_pack(y + start, v);
  } else {
    const int other = start + (Adjacent ? 1 : r.half);
    auto a = load_pack<W>(x + start), b = load_pack<W>(x + other);
#pragma unroll
    for (int k = 0; k < W; ++k) turned(k, a.v[k], b.v[k]);
    store_pack(y + start, a), store_pack(y + other, b);
  }
}

// grid [ceil(rows / kRopeWarps)], block 32·kRopeWarps
template <class I, int W, bool Adjacent, class T>
__global__ void turn_rows(Walk<2> rows, RopeRow r, const T* __restrict__ x, RopeAngles cos, RopeAngles sin, T* __restrict__ y) {
  const Index row = Index(blockIdx.x) * kRopeWarps + threadIdx.x / 32;
  if (row >= rows.count) return;
  Index at[2];
  locate<I>(rows, I(row), at);
  const Index position = I(row) % I(rows.size[rows.rank - 1]);
  const float *const c = cos.data + position * cos.row, *const s = sin.data + position * sin.row;
  for (int pair = int(threadIdx.x) % 32 * W; pair < r.C / 2; pair += 32 * W)
    turn<W, Adjacent>(x + at[0], y + at[1], pair / r.half, pair % r.half, r, c, cos.column, s, sin.column);
}

template <int W, bool Adjacent, class T>
void launch_turn(const Walk<2>& rows, const RopeRow& r, const T* x, const RopeAngles& cos, const RopeAngles& sin, T* y) {
  const Grid grid{dim3(unsigned((rows.count + kRopeWarps - 1) / kRopeWarps)), dim3(32 * kRopeWarps)};
  if (rows.count < (Index(1) << 31)) launch(turn_rows<int, W, Adjacent, T>, grid, rows, r, x, cos, sin, y);
  else launch(turn_rows<Index, W, Adjacent, T>, grid, rows, r, x, cos, sin, y);
}

}  // namespace

template <class T>
void RopeKernels<T>::turn(const Walk<2>& rows, Index C, Index d, bool adjacent, float direction, const T* x, const RopeAngles& cos, const RopeAngles& sin, T* y) {
  if (rows.count == 0 || C == 0) return;
  const RopeRow r{int(C), int(d / 2), direction};
  constexpr int P = kPack<T>;
  bool packs = aligned16(x, y) && d / 2 % (adjacent ? P / 2 : P) == 0;
  for (int a = 0; a < rows.rank; ++a) packs = packs && rows.stride[0][a] % P == 0 && rows.stride[1][a] % P == 0;
  if (adjacent && packs) launch_turn<P / 2, true>(rows, r, x, cos, sin, y);
  else if (adjacent) launch_turn<1, true>(rows, r, x, cos, sin, y);
  else if (packs) launch_turn<P, false>(rows, r, x, cos, sin, y);
  else launch_turn<1, false>(rows, r, x, cos, sin, y);
}

template struct RopeKernels<float>;
template struct RopeKernels<bf16>;
template struct RopeKernels<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
