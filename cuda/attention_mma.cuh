// attention's products on tensor cores: what a warp does with tiles in shared memory, for bf16 and half.
//
//   tile        rows of D numbers in kPitch<D>: an odd number of 16-byte pieces, so that the 8 rows of an ldmatrix lie in different banks
//   Square      [M][N][4] f32: 16·M rows by 8·N columns as mma.m16n8k16 spreads them over a warp: lane 4·g + t has, of each 16 × 8,
//               rows g and g + 8, columns 2·t and 2·t + 1
//
// No ldmatrix and no write of scores meets a bank conflict; copies into tiles of D = 32 do, two to a bank.
//
// head_dim is any multiple of 8 up to D: the columns beyond are zeros in shared memory and are not written.
#pragma once

#include "cuda/attention.cuh"
#include "cuda/launch.cuh"
#include "cuda/ptx.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda::attention {

template <int D> inline constexpr int kPitch = D + 8;
inline constexpr int kTensorThreads = 128;  // of a block: four warps

__device__ __forceinline__ int lane() { return int(threadIdx.x) % 32; }
__device__ __forceinline__ int warp() { return int(threadIdx.x) / 32; }

template <int M, int N>
using Scores = float[M][N][4];

template <int M, int N>
__device__ __forceinline__ void clear(Scores<M, N>& x) {
#pragma unroll
  for (int m = 0; m < M; ++m)
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) x[m][n][i] = 0.0f;
}

/// Calls f(score, row, column) for each score that this thread has.
template <int M, int N, class F>
__device__ __forceinline__ void each_score(Scores<M, N>& x, F&& f) {
#pragma unroll
  for (int m = 0; m < M; ++m)
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) f(x[m][n][i], 16 * m + lane() / 4 + i / 2 * 8, 8 * n + lane() % 4 * 2 + i % 2);
}

/// Copies R rows of a matrix into a tile, by K threads: a thread has one column of 16-byte pieces. It walks the matrix tile by tile, so that it keeps one
/// address and no more.
template <int D, int R, int K, class T>
class Loader {
 public:
  __device__ __forceinline__ Loader(const T* rows, Index stride, int row0, int head_dim, int thread)
      : from_(rows + (row0 + thread / kWide) * stride + thread % kWide * 8), stride_(stride), row_(row0 + thread / kWide), offset_(thread / kWide * kPitch<D> + thread % kWide * 8),
        inside_(thread % kWide * 8 < head_dim), mine_(thread % kWide < D / 8) {}

  /// The next R rows; zeros from row `end` and from column head_dim on. Not yet committed.
  __device__ __forceinline__ void next(T* tile, int end) {
#pragma unroll
    for (int r = 0; r < R; r += kStep) {
      if (mine_) cp_async<16>(tile + offset_ + r * kPitch<D>, from_, inside_ && row_ < end ? 16 : 0);
      row_ += kStep, from_ += stride_ * kStep;
    }
  }

 private:
  static constexpr int wide(int pieces) { return pieces <= 4 ? 4 : pieces <= 8 ? 8 : pieces <= 16 ? 16 : 32; }
  static constexpr int kWide = wide(D / 8), kStep = K / kWide;
  static_assert(R % kStep == 0 && K % kWide == 0);

  const T* from_;
  Index stride_;
  int row_, offset_;
  bool inside_, mine_;
};

/// The left side of a product, 16·M rows of a tile: read from shared memory once (Held), or in each product again (Read).
template <int D, int M, class T>
struct Read {
  const T* tile;
  __device__ __forceinline__ void load(const T* rows) { tile = rows; }
  __device__ __forceinline__ void get(unsigned (&x)[M][4], int step) const {
#pragma unroll
    for (int m = 0; m < M; ++m) ldmatrix_x4(x[m], tile + (16 * m + lane() % 16) * kPitch<D> + 16 * step + lane() / 16 * 8);
  }
};
template <int D, int M, class T>
struct Held {
  unsigned x[D / 16][M][4];
  __device__ __forceinline__ void load(const T* rows) {
    const Read<D, M, T> all{rows};
#pragma unroll
    for (int step = 0; step < D / 16; ++step) all.get(x[step], step);
  }
  __device__ __forceinline__ void get(unsigned (&to)[M][4], int step) const {
#pragma unroll
    for (int m = 0; m < M; ++m)
#pragma unroll
      for (int i = 0; i < 4; ++i) to[m][i] = x[step][m][i];
  }
};

/// acc = a·bᵀ over D; b: 8·N rows of a tile
template <int D, int M, int N, class A, class T>
__device__ __forceinline__ void multiply_rows(Scores<M, N>& acc, const A& a, const T* b) {
  static_assert(N % 2 == 0);
  clear<M, N>(acc);
  b += (lane() / 16 * 8 + lane() % 8) * kPitch<D> + lane() / 8 % 2 * 8;
#pragma unroll
  for (int step = 0; step < D / 16; ++step) {
    unsigned x[M][4];
    a.get(x, step);
#pragma unroll
    for (int n = 0; n < N; n += 2) {
      unsigned y[4];
      ldmatrix_x4(y, b + 8 * n * kPitch<D> + 16 * step);
#pragma unroll
      for (int m = 0; m < M; ++m) {
        mma_m16n8k16<T>(acc[m][n], x[m], y, acc[m][n]);
        mma_m16n8k16<T>(acc[m][n + 1], x[m], y + 2, acc[m][n + 1]);
      }
    }
  }
}

/// acc += p·b, p rounded to T; b: 8·K rows and 8·C columns of a tile. What a thread has of p is what it needs as the left side.
template <int D, int M, int K, int C, class T>
__device__ __forceinline__ void add_product(Scores<M, C>& acc, const Scores<M, K>& p, const T* b) {
  static_assert(K % 2 == 0 && C % 2 == 0);
  b += lane() % 16 * kPitch<D> + lane() / 16 * 8;
#pragma unroll
  for (int k = 0; k < K; k += 2) {
    unsigned x[M][4];
#pragma unroll
    for (int m = 0; m < M; ++m) {
      x[m][0] = pack<T>(p[m][k][0], p[m][k][1]), x[m][1] = pack<T>(p[m][k][2], p[m][k][3]);
      x[m][2] = pack<T>(p[m][k + 1][0], p[m][k + 1][1]), x[m][3] = pack<T>(p[m][k + 1][2], p[m][k + 1][3]);
    }
#pragma unroll
    for (int c = 0; c < C; c += 2) {
      unsigned y[4];
      ldmatrix_x4_trans(y, b + 8 * k * kPitch<D> + 8 * c);
#pragma unroll
      for (int m = 0; m < M; ++m) {
        mma_m16n8k16<T>(acc[m][c], x[m], y, acc[m][c]);
        mma_m16n8k16<T>(acc[m][c + 1], x[m], y + 2, acc[m][c + 1]);
      }
    }
  }
}

/// What happens to scores between the two products: nothing beyond the scale (Bare), or a bias and a mask (Masked). A kernel is made for each.
/// `Transposed`: rows are keys. s in raw units; afterwards s·factor are units of log 2.
struct Bare {
  static constexpr bool kAdds = false;
  template <bool Transposed, int M, int N, class T>
  __device__ __forceinline__ static float apply(Scores<M, N>&, const AttentionInputs<T>& in, const Sequence&, int, int) {
    return in.scale * kLog2E;
  }
};
struct Masked {
  static constexpr bool kAdds = true;
  template <bool Transposed, int M, int N, class T>
  __device__ __forceinline__ static float apply(Scores<M, N>& x, const AttentionInputs<T>& in, const Sequence& s, int row0, int column0) {
    const int last_query = int(in.queries) - 1, last_key = int(in.keys) - 1;
    const float scale = in.scale * kLog2E;
    const auto place = [&](int r, int c, Index query_stride, Index key_stride) {  // what doesn't exist reads what does
      return min((Transposed ? column0 + c : row0 + r), last_query) * query_stride + min((Transposed ? row0 + r : column0 + c), last_key) * key_stride;
    };
    if (in.bias.data) {
      const T* bias = in.bias.data + s.outer * in.bias.outer + s.inner * in.bias.inner + s.head * in.bias.head;
      each_score<M, N>(x, [&](float& score, int r, int c) { score = fmaf(score, scale, to_float(bias[place(r, c, in.bias.query, in.bias.key)]) * kLog2E); });
    } else {
      each_score<M, N>(x, [&](float& score, int, int) { score *= scale; });
    }
    if (in.seen.data) {
      const std::uint8_t* seen = in.seen.data + s.outer * in.seen.outer + s.inner * in.seen.inner + s.head * in.seen.head;
      each_score<M, N>(x, [&](float& score, int r, int c) { score = seen[place(r, c, in.seen.query, in.seen.key)] ? score : unseen(); });
    }
    return 1.0f;
  }
};

/// Over the four threads that share a row.
__device__ __forceinline__ float quad_max(float v) {
  v = fmaxf(v, __shfl_xor_sync(~0u, v, 1));
  return fmaxf(v, __shfl_xor_sync(~0u, v, 2));
}
__device__ __forceinline__ float quad_sum(float v) {
  v += __shfl_xor_sync(~0u, v, 1);
  return v + __shfl_xor_sync(~0u, v, 2);
}

/// A warp writes 16·M rows: acc times a factor a row, through 16·M rows of a tile that no other warp uses, so that memory gets pieces of 16 bytes.
template <int D, int M, int C, class T>
__device__ __forceinline__ void write_rows(T* tile, const Scores<M, C>& acc, const float (&factor)[M][2], T* to, Index stride, int row0, int end, int columns) {
  __syncwarp();  // all lanes have read what lies there
#pragma unroll
  for (int m = 0; m < M; ++m)
#pragma unroll
    for (int c = 0; c < C; ++c)
#pragma unroll
      for (int i = 0; i < 2; ++i)
        *reinterpret_cast<unsigned*>(tile + (16 * m + 8 * i + lane() / 4) * kPitch<D> + 8 * c + lane() % 4 * 2) =
            pack<T>(acc[m][c][2 * i] * factor[m][i], acc[m][c][2 * i + 1] * factor[m][i]);
  __syncwarp();
#pragma unroll 2
  for (int i = lane(); i < 16 * M * C; i += 32) {
    const int r = i / C, c = i % C * 8;
    if (row0 + r < end && c < columns) store_pack(to + (row0 + r) * stride + c, load_pack<8>(tile + r * kPitch<D> + c));
  }
}
template <int M>
__device__ __forceinline__ void fill(float (&x)[M][2], float v) {
#pragma unroll
  for (int m = 0; m < M; ++m) x[m][0] = x[m][1] = v;
}

/// The online softmax of 16·M queries: running maxima and sums; the sums over this thread's columns alone until `finish`.
template <int M>
struct Softmax {
  float m[M][2], l[M][2];

  __device__ __forceinline__ Softmax() { fill<M>(m, unseen()), fill<M>(l, 0.0f); }

  /// Scores s·factor in units of log 2 → probabilities to the running maximum; `o` shrinks as that grows.
  template <int N, int C>
  __device__ __forceinline__ void step(Scores<M, N>& s, float factor, Scores<M, C>& o) {
#pragma unroll
    for (int r = 0; r < M; ++r)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float top = m[r][i];
#pragma unroll
        for (int n = 0; n < N; ++n) top = fmaxf(top, fmaxf(s[r][n][2 * i], s[r][n][2 * i + 1]));
        top = quad_max(top);
        const float base = top == unseen() ? 0.0f : top * factor, shrink = exp2_approx(fmaf(m[r][i], factor, -base));
        m[r][i] = top;
        float sum = 0.0f;
#pragma unroll
        for (int n = 0; n < N; ++n)
#pragma unroll
          for (int j = 2 * i; j < 2 * i + 2; ++j) sum += s[r][n][j] = exp2_approx(fmaf(s[r][n][j], factor, -base));
        l[r][i] = fmaf(l[r][i], shrink, sum);
#pragma unroll
        for (int c = 0; c < C; ++c) o[r][c][2 * i] *= shrink, o[r][c][2 * i + 1] *= shrink;
      }
  }

  /// 1 / Σ in `inverse`, and the log of the sum for the rows that exist, unless lse is null.
  __device__ __forceinline__ void finish(float factor, float (&inverse)[M][2], float* lse, int row0, int rows) {
#pragma unroll
    for (int r = 0; r < M; ++r)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float sum = quad_sum(l[r][i]);
        inverse[r][i] = sum == 0.0f ? 0.0f : 1.0f / sum;
        const int row = row0 + 16 * r + 8 * i + lane() / 4;
        if (lse && lane() % 4 == 0 && row < rows) lse[row] = sum == 0.0f ? unseen() : m[r][i] * factor * kLn2 + logf(sum);
      }
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda::attention
