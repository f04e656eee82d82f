// Rows of a matrix and who owns them: what the kernels share that reduce over a row (norms, softmax, cross-entropy).
//
//   Team<K>       the threads of one row: K = 8 or 32 lanes of a warp, or with K = 0 the whole block
//   Held<T,P,N>   a thread's part of a row: N packs of P neighbours in registers, so that memory is read once; with N = 0 the row is too long
//                 for that, or lies at odd addresses, and every pass reads it again (from the caches, where it was a moment ago)
//   choose_team   the form for a row of C
//
// A team's threads take neighbouring packs, then move on by the team's width: every load of a warp is one run of 512 bytes.
#pragma once

#include <climits>

#include <framegrad/core/backend.hpp>

#include "cuda/vector.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

inline constexpr int kRowBlock = 128;      // threads of a block that has several rows
inline constexpr int kMostRowThreads = 320;  // of a block that has one: two such blocks fit with 100 registers a thread

struct Larger {
  __device__ __forceinline__ float operator()(float a, float b) const { return fmaxf(a, b); }
};
struct Added {
  __device__ __forceinline__ float operator()(float a, float b) const { return a + b; }
};

/// Each combination is the same tree for every thread, so all get the same bits.
template <int K>
struct Team {
  static_assert(K == 0 || (K <= 32 && (K & (K - 1)) == 0));

  __device__ __forceinline__ static int width() { return K ? K : int(blockDim.x); }
  __device__ __forceinline__ static int lane() { return K ? int(threadIdx.x) % (K ? K : 1) : int(threadIdx.x); }
  __device__ __forceinline__ static int index() { return K ? int(threadIdx.x) / (K ? K : 1) : 0; }

  /// Every thread of the team calls it (of the warp, for K < 32) and gets the team's M results.
  template <class Op, int M>
  __device__ __forceinline__ void combine(float (&v)[M]) {
#pragma unroll
    for (int m = 0; m < M; ++m)
#pragma unroll
      for (int step = (K ? K : 32) / 2; step > 0; step /= 2) v[m] = Op{}(v[m], __shfl_xor_sync(~0u, v[m], step));
    if constexpr (K == 0) {
      // Two buffers in turn: whoever writes one again has passed the barrier that follows its reading.
      __shared__ float cells[2][M][32];
      const int warps = (blockDim.x + 31) / 32;
      if (threadIdx.x % 32 == 0)
#pragma unroll
        for (int m = 0; m < M; ++m) cells[turn_][m][threadIdx.x / 32] = v[m];
      __syncthreads();
#pragma unroll
      for (int m = 0; m < M; ++m) {
        v[m] = cells[turn_][m][0];
        for (int w = 1; w < warps; ++w) v[m] = Op{}(v[m], cells[turn_][m][w]);
      }
      turn_ ^= 1;
    }
  }
  __device__ __forceinline__ float sum(float v) {
    float one[1] = {v};
    combine<Added>(one);
    return one[0];
  }
  __device__ __forceinline__ float max(float v) {
    float one[1] = {v};
    combine<Larger>(one);
    return one[0];
  }

 private:
  int turn_ = 0;
};

/// f(i, c) for each pack that this thread owns in a row of C: the i-th, at column c.
template <int K, int P, int N, class F>
__device__ __forceinline__ void each_pack(int C, F&& f) {
  const int first = Team<K>::lane() * P, step = Team<K>::width() * P;
  if constexpr (N > 0) {
#pragma unroll
    for (int i = 0; i < N; ++i)
      if (const int c = first + i * step; c < C) f(i, c);
  } else {
    for (int c = first; c < C; c += step) f(0, c);
  }
}

template <class T, int P, int N>
struct Held {
  const T* row;
  Pack<T, P> packs[N ? N : 1];

  template <int K>
  __device__ __forceinline__ void load(const T* from, int C) {
    row = from;
    if constexpr (N > 0) each_pack<K, P, N>(C, [&](int i, int c) { packs[i] = load_pack<P>(row + c); });
  }
  __device__ __forceinline__ Pack<T, P> at(int i, int c) const {
    if constexpr (N > 0) return packs[i];
    else return load_pack<P>(row + c);
  }
};

/// Which of the groups of `rows` rows has this one.
__device__ __forceinline__ Index group_of(Index row, Index rows) {
  // A 64-bit division costs a hundred instructions, a 32-bit one twenty.
  return row <= Index(UINT_MAX) && rows <= Index(UINT_MAX) ? Index(unsigned(row) / unsigned(rows)) : row / rows;
}

template <int K_, int P_, int N_>
struct RowForm {
  static constexpr int K = K_, P = P_, N = N_;
};

/// Bounds of a block that owns rows of a form, several or one: its threads, and how many a multiprocessor is to hold. With these nothing spills.
template <class Form> inline constexpr int kFormThreads = Form::K ? kRowBlock : kMostRowThreads;
template <class Form> inline constexpr int kFormBlocks = Form::K ? 1 : 2;

/// Threads that take n packs, `held` each: whole warps.
inline unsigned row_threads(Index n, int held) { return unsigned(((n + held - 1) / held + 31) / 32 * 32); }

/// The grid for `rows` rows, each a team's.
template <class Form>
Grid rows_grid(Index rows, unsigned threads) {
  const Index teams = Form::K ? Index(threads) / (Form::K ? Form::K : 1) : 1;
  return {dim3(unsigned((rows + teams - 1) / teams)), dim3(threads)};
}

inline void check_row(Index C, const char* op) {
  check_shape(C <= INT_MAX, op, "rows of ", C, ", a GPU's may have ", INT_MAX);
}

/// Calls f(form, threads of a block) for rows of C that need no choice: at odd addresses, or short. Returns whether it did.
template <class T, class F>
bool choose_plain_team(Index C, bool aligned, F&& f) {
  constexpr int P = kPack<T>;
  if (!aligned || C % P) {
    if (C <= 512) f(RowForm<32, 1, 0>{}, unsigned(kRowBlock));
    else f(RowForm<0, 1, 0>{}, 256u);
  } else if (C / P <= 16) {
    f(RowForm<8, P, 2>{}, unsigned(kRowBlock));
  } else if (C / P <= 96) {
    f(RowForm<32, P, 3>{}, unsigned(kRowBlock));
  } else {
    return false;
  }
  return true;
}

/// Calls f(form, threads of a block) with the form for rows of C. `aligned`: whether all rows begin at a multiple of 16 bytes.
template <class T, class F>
void choose_team(Index C, bool aligned, F&& f) {
  if (choose_plain_team<T>(C, aligned, f)) return;
  constexpr int P = kPack<T>;
  const Index n = C / P;
  if (n <= 288) f(RowForm<32, P, 9>{}, unsigned(kRowBlock));
  else if (n <= 4 * 256) f(RowForm<0, P, 4>{}, row_threads(n, 4));
  else f(RowForm<0, P, 0>{}, 256u);
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
