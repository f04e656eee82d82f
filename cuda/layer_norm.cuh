// layer_norm, layer_norm_modulate and rms_norm: see ops/layer_norm.hpp, ops/layer_norm_modulate.hpp, ops/rms_norm.hpp.
//
//   norm_forward    a team owns a row (rows.cuh) and keeps it in registers: mean, variance about it, output
//   norm_backward   a block owns a chunk of rows and its teams one row after the other; a thread has the same columns in each, so the columns'
//                   sums stay in its registers, and the next row is on its way while this one is worked on
//   ColumnSums      the columns' sums of rows that are too long for that
//
// Bound by memory: x is read and y written once forward; x and g are read and dx is written once backward. Gains come from the caches.
// rms_norm is the same without the mean (Center false).
#pragma once

#include <framegrad/cuda/layer_norm.hpp>

#include "cuda/row_sums.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// offset + gain at columns c …, or 1 where there is none
template <int P, class T>
__device__ __forceinline__ void load_gain(const T* gain, float offset, int c, float (&v)[P]) {
  if (gain) {
    const auto pack = load_pack<P>(gain + c);
#pragma unroll
    for (int j = 0; j < P; ++j) v[j] = offset + to_float(pack.v[j]);
  } else {
#pragma unroll
    for (int j = 0; j < P; ++j) v[j] = 1.0f;
  }
}

// grid [ceil(all rows / teams a block)], block: whole teams
template <bool Center, class Form, class T>
__global__ void __launch_bounds__(kFormThreads<Form>, kFormBlocks<Form>) norm_forward(const T* __restrict__ x,     // [groups, rows, C]
                                                                                      const T* __restrict__ gain,  // [groups, C]
                                                                                      const T* __restrict__ bias,  // [groups, C]
                                                                                      T* __restrict__ y,           // [groups, rows, C]
                                                                                      float* __restrict__ mean,    // [groups, rows]
                                                                                      float* __restrict__ rstd,    // [groups, rows]
                                                                                      Index all_rows, Index rows, int C, float offset, float eps) {
  constexpr int K = Form::K, P = Form::P, N = Form::N;
  Team<K> team;
  const Index row = Index(blockIdx.x) * (blockDim.x / team.width()) + team.index();
  const bool live = row < all_rows;
  if (K >= 32 && !live) return;  // the whole warp leaves; teams smaller than a warp stay for its shuffles
  const int columns = live ? C : 0;
  Held<T, P, N> held;
  held.template load<K>(x + row * C, columns);

  float mu = 0.0f;
  if constexpr (Center) {
    float sum = 0.0f;
    each_pack<K, P, N>(columns, [&](int i, int c) {
      const auto pack = held.at(i, c);
#pragma unroll
      for (int j = 0; j < P; ++j) sum += to_float(pack.v[j]);
    });
    mu = team.sum(sum) / C;
  }
  float squares = 0.0f;  // about the mean: Σx² − (Σx)²/C cancels badly in f32
  each_pack<K, P, N>(columns, [&](int i, int c) {
    const auto pack = held.at(i, c);
#pragma unroll
    for (int j = 0; j < P; ++j) {
      const float d = to_float(pack.v[j]) - mu;
      squares += d * d;
    }
  });
  const float r = 1.0f / sqrtf(team.sum(squares) / C + eps);
  if (!live) return;

  const Index group = gain ? group_of(row, rows) : 0;
  each_pack<K, P, N>(C, [&](int i, int c) {
    const auto pack = held.at(i, c);
    float scale[P];
    load_gain<P>(gain ? gain + group * C : nullptr, offset, c, scale);
    Pack<T, P> shift;
    if (bias) shift = load_pack<P>(bias + group * C + c);
    Pack<T, P> out;
#pragma unroll
    for (int j = 0; j < P; ++j) out.v[j] = from_float<T>((to_float(pack.v[j]) - mu) * r * scale[j] + (bias ? to_float(shift.v[j]) : 0.0f));
    store_pack(y + row * C + c, out);
  });
  if (team.lane() == 0) {
    if (Center && mean) mean[row] = mu;
    if (rstd) rstd[row] = r;
  }
}

/// What a thread keeps of a row of norm_backward.
template <class T, int P, int N>
struct NormRow {
  Held<T, P, N> x, g;
  float mu = 0.0f, r = 0.0f;
  Index row = 0;
  int columns = 0;  // 0: there is no such row
};

/// Bounds of norm_backward's block: with four packs a thread the sums take 64 registers; with one, blocks are to be many, since each waits for its rows.
template <class Form> inline constexpr int kBackwardThreads = Form::N == 4 ? 256 : kMostRowThreads;
template <class Form> inline constexpr int kBackwardBlocks = Form::N == 1 ? 3 : 1;

// grid [groups · chunks], block: whole teams; shared: the teams' sums [teams, 2, C], if a block has more than one
template <bool Center, class Form, class T>
__global__ void __launch_bounds__(kBackwardThreads<Form>, kBackwardBlocks<Form>) norm_backward(const T* __restrict__ x,         // [groups, rows, C]
                                                                                               const T* __restrict__ gain,      // [groups, C]
                                                                                               const T* __restrict__ g,         // [groups, rows, C]
                                                                                               const float* __restrict__ mean,  // [groups, rows]
                                                                                               const float* __restrict__ rstd,  // [groups, rows]
                                                                                               T* __restrict__ dx,              // [groups, rows, C]
                                                                                               float* __restrict__ partial,     // [groups, chunks, sums, C]
                                                                                               Index rows, Index chunks, Index chunk, int sums, int C, float offset) {
  constexpr int K = Form::K, P = Form::P, N = Form::N, kKept = N ? N : 1;
  Team<K> team;
  const int teams = blockDim.x / team.width();
  const Index group = Index(blockIdx.x) / chunks, begin = Index(blockIdx.x) % chunks * chunk, end = begin + chunk < rows ? begin + chunk : rows;
  if (gain) gain += group * C;

  float dgain[kKept][P] = {}, dbias[kKept][P] = {};
  const auto fetch = [&](Index first, NormRow<T, P, N>& to) {
    const Index in_group = first + team.index();
    to.columns = in_group < end ? C : 0;
    to.row = group * rows + in_group;
    to.x.template load<K>(x + to.row * C, to.columns);
    to.g.template load<K>(g + to.row * C, to.columns);
    if (to.columns) {
      if (Center) to.mu = mean[to.row];
      to.r = rstd[to.row];
    }
  };
  NormRow<T, P, N> next;
  fetch(begin, next);
  for (Index first = begin; first < end; first += teams) {  // the same turns for all teams: they meet in shuffles and barriers
    const NormRow<T, P, N> now = next;
    fetch(first + teams, next);
    float means[2] = {};  // of h and h·x̂
    each_pack<K, P, N>(now.columns, [&](int i, int c) {
      const auto px = now.x.at(i, c), pg = now.g.at(i, c);
      float scale[P];
      load_gain<P>(gain, offset, c, scale);
#pragma unroll
      for (int j = 0; j < P; ++j) {
        const float gj = to_float(pg.v[j]), xhat = (to_float(px.v[j]) - now.mu) * now.r, h = gj * scale[j];
        if (Center) means[0] += h;
        means[1] += h * xhat;
        if (N > 0) dgain[i][j] += gj * xhat, dbias[i][j] += gj;
      }
    });
    if (!dx) continue;
    team.template combine<Added>(means);
    const float mean_h = means[0] / C, mean_hx = means[1] / C;
    each_pack<K, P, N>(now.columns, [&](int i, int c) {
      const auto px = now.x.at(i, c), pg = now.g.at(i, c);
      float scale[P];
      load_gain<P>(gain, offset, c, scale);
      Pack<T, P> out;
#pragma unroll
      for (int j = 0; j < P; ++j) {
        const float xhat = (to_float(px.v[j]) - now.mu) * now.r;
        out.v[j] = from_float<T>(now.r * (to_float(pg.v[j]) * scale[j] - mean_h - xhat * mean_hx));
      }
      store_pack(dx + now.row * C + c, out);
    });
  }
  if (N == 0 || !partial) return;

  float* to = partial + Index(blockIdx.x) * sums * C;
  if constexpr (K == 0) {
    each_pack<K, P, N>(C, [&](int i, int c) {
#pragma unroll
      for (int j = 0; j < P; ++j) to[c + j] = dgain[i][j];
      if (sums < 2) return;
#pragma unroll
      for (int j = 0; j < P; ++j) to[C + c + j] = dbias[i][j];
    });
  } else {
    float* cells = dynamic_shared<float>() + team.index() * 2 * C;
    each_pack<K, P, N>(C, [&](int i, int c) {
#pragma unroll
      for (int j = 0; j < P; ++j) cells[c + j] = dgain[i][j], cells[C + c + j] = dbias[i][j];
    });
    __syncthreads();
    for (int c = threadIdx.x; c < sums * C; c += blockDim.x) {
      float total = 0.0f;
      for (int t = 0; t < teams; ++t) total += dynamic_shared<float>()[t * 2 * C + c];
      to[c] = total;
    }
  }
}

/// The same sums by themselves, for column_tiles.
template <bool Center, int P_, class T>
struct NormColumns {
  static constexpr int P = P_;
  const T *x, *g;
  const float *mean, *rstd;
  Index C;

  struct Loaded {
    Pack<T, P> x, g;
    float mu, r;
  };
  struct Shared {};
  __device__ __forceinline__ Shared begin(Index, int) const { return {}; }
  __device__ __forceinline__ Loaded load(Index row, int c) const {
    return {load_pack<P>(x + row * C + c), load_pack<P>(g + row * C + c), Center ? mean[row] : 0.0f, rstd[row]};
  }
  __device__ __forceinline__ void use(Index, int, const Shared&, const Loaded& l, float (&dgain)[P], float (&dbias)[P]) const {
#pragma unroll
    for (int j = 0; j < P; ++j) {
      const float gj = to_float(l.g.v[j]);
      dgain[j] += gj * ((to_float(l.x.v[j]) - l.mu) * l.r);
      dbias[j] += gj;
    }
  }
};

template <bool Center, class T>
void launch_norm_forward(const NormShape& s, float eps, const T* x, const T* gain, const T* bias, T* y, float* mean, float* rstd) {
  const Index all = s.groups * s.rows;
  if (all == 0 || s.C == 0) return;
  check_row(s.C, Center ? "layer_norm" : "rms_norm");
  choose_team<T>(s.C, aligned16(x, gain, bias, y), [&](auto form, unsigned threads) {
    launch(norm_forward<Center, decltype(form), T>, rows_grid<decltype(form)>(all, threads), x, gain, bias, y, mean, rstd, all, s.rows, int(s.C), s.offset, eps);
  });
}

/// The form of norm_backward: sums in registers, so fewer packs a thread than forward, and threads that have just what they own.
template <class T, class F>
void choose_backward_team(Index C, bool aligned, F&& f) {
  if (choose_plain_team<T>(C, aligned, f)) return;
  constexpr int P = kPack<T>;
  const Index n = C / P;
  if (n <= kMostRowThreads) f(RowForm<0, P, 1>{}, row_threads(n, 1));
  else if (n <= 2 * kMostRowThreads) f(RowForm<0, P, 2>{}, row_threads(n, 2));
  else if (n <= 4 * 256) f(RowForm<0, P, 4>{}, row_threads(n, 4));
  else f(RowForm<0, P, 0>{}, 256u);
}

template <bool Center, class T>
void launch_norm_backward(const NormShape& s, const T* x, const T* gain, const T* g, const float* mean, const float* rstd, T* dx, T* dgain, T* dbias) {
  const SumTarget<T> to_gain{dgain, s.C, 1}, to_bias{dbias, s.C, 1};
  if (s.groups * s.rows == 0 || s.C == 0) {
    clear_sums(s.groups, s.C, dgain);
    return clear_sums(s.groups, s.C, dbias);
  }
  check_row(s.C, Center ? "layer_norm" : "rms_norm");
  const int sums = dbias ? 2 : dgain ? 1 : 0;
  choose_backward_team<T>(s.C, aligned16(x, gain, g, dx), [&](auto form, unsigned threads) {
    using Form = decltype(form);
    constexpr bool kSumsAside = Form::N == 0;
    const Index teams = Form::K ? Index(threads) / (Form::K ? Form::K : 1) : 1;
    const Index chunk = rows_a_chunk(s.groups, s.rows, std::max<Index>(8, 2 * teams)), chunks = (s.rows + chunk - 1) / chunk;
    const Scratch partial(kSumsAside ? 0 : s.groups * chunks * sums * s.C * 4);
    if (dx || !kSumsAside) {
      const Grid grid{dim3(unsigned(s.groups * chunks)), dim3(threads), Form::K && sums && !kSumsAside ? std::size_t(teams * 2 * s.C * 4) : 0};
      launch(norm_backward<Center, Form, T>, grid, x, gain, g, mean, rstd, dx, partial.template as<float>(), s.rows, chunks, chunk, sums, int(s.C), s.offset);
    }
    if (sums == 0) return;
    if constexpr (kSumsAside) launch_columns(NormColumns<Center, Form::P, T>{x, g, mean, rstd, s.C}, s.groups, s.rows, s.C, sums, to_gain, to_bias);
    else launch_add_chunks(partial.template as<float>(), s.groups, chunks, sums, s.C, to_gain, to_bias);
  });
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
