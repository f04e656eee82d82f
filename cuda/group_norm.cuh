// group_norm: see ops/group_norm.hpp. Letters as there; a unit is a group of a sample.
//
// Forward, in three launches, the first two in group_moments.cuh:
//   plane_moments, column_moments   mean and squares about it of a piece: of a unit's numbers in [N, C, S], of a column's rows in [N, S, C]
//   join_moments                    a block owns a unit and joins its pieces by the formula of Chan et al. (1983)
//   plane_values, ColumnValues      normalise, scale, shift, and SiLU if asked for
// Backward, in four:
//   plane_sums, ColumnSlopes        Σ g and Σ g·x̂ of a piece of a channel
//   add_chunks                      of a channel, then over samples
//   unit_means                      a warp owns a unit
//   plane_slopes, ColumnSlopes      ∂L/∂x
//
// Bound by memory: x is read twice, y written once; back x and g are read twice, dx written once. A second reading is from L2 where the tensor fits.
#pragma once

#include <framegrad/cuda/group_norm.hpp>
#include <framegrad/ops/formula/silu.hpp>

#include "cuda/group_moments.cuh"
#include "cuda/number.cuh"
#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// What a channel of a sample needs.
struct Channel {
  float mean, rstd, gamma, beta;
  template <class T>
  __device__ __forceinline__ Channel(const GroupShape& s, Index plane, const T* gammas, const T* betas, const float* means, const float* rstds) {
    const Index n = group_of(plane, s.C), c = plane - n * s.C, unit = n * s.groups + group_of(c, s.C / s.groups);
    mean = means[unit], rstd = rstds[unit], gamma = to_float(gammas[c]), beta = to_float(betas[c]);
  }
  __device__ __forceinline__ float xhat(float x) const { return (x - mean) * rstd; }
  template <bool silu>
  __device__ __forceinline__ float value(float x) const {
    const float z = xhat(x) * gamma + beta;
    return silu ? formula::Silu::value(Number(z)).v : z;
  }
  /// ∂L/∂z from ∂L/∂y
  template <bool silu>
  __device__ __forceinline__ float slope(float x, float g) const {
    return silu ? g * formula::Silu::slope(Number(xhat(x) * gamma + beta)).v : g;
  }
};

inline constexpr Index kPlaneChunk = 8192;

/// A team's part of a plane: where it begins and how long it is.
struct PlanePart {
  Index plane, from;
  int count;
  __device__ __forceinline__ PlanePart(Index team, Index chunks, Index S) {
    plane = group_of(team, chunks);
    const Index begin = (team - plane * chunks) * kPlaneChunk;
    from = plane * S + begin, count = int(begin + kPlaneChunk < S ? kPlaneChunk : S - begin);
  }
};
template <int K>
__device__ __forceinline__ Index own_team() {
  return Index(blockIdx.x) * (blockDim.x / Team<K>::width()) + Team<K>::index();
}

// A team owns a part of a plane, so that what belongs to the channel is looked up once.
// grid [ceil(planes · chunks / teams a block)], block: 256 threads, whole teams
template <bool silu, int K, int P, class T>
__global__ void __launch_bounds__(256, 2) plane_values(GroupShape s, Index chunks, const T* __restrict__ x, const T* __restrict__ gamma, const T* __restrict__ beta,
                                                    const float* __restrict__ mean, const float* __restrict__ rstd, T* __restrict__ y) {
  const Index at = own_team<K>();
  if (at >= s.N * s.C * chunks) return;
  const PlanePart part(at, chunks, s.S);
  const Channel channel(s, part.plane, gamma, beta, mean, rstd);
  each_pack<K, P, 0>(part.count, [&](int, int c) {
    const auto in = load_pack<P>(x + part.from + c);
    Pack<T, P> out;
#pragma unroll
    for (int j = 0; j < P; ++j) out.v[j] = from_float<T>(channel.value<silu>(to_float(in.v[j])));
    store_pack(y + part.from + c, out);
  });
}

// grid and block as plane_values; partial [planes, chunks, 2]
template <bool silu, int K, int P, class T>
__global__ void __launch_bounds__(256, 2) plane_sums(GroupShape s, Index chunks, const T* __restrict__ x, const T* __restrict__ gamma, const T* __restrict__ beta,
                                                  const T* __restrict__ g, const float* __restrict__ mean, const float* __restrict__ rstd, float* __restrict__ partial) {
  Team<K> team;
  const Index at = own_team<K>();
  if (at >= s.N * s.C * chunks) return;  // whole warps leave, or the block
  const PlanePart part(at, chunks, s.S);
  const Channel channel(s, part.plane, gamma, beta, mean, rstd);
  float sums[2] = {};
  each_pack<K, P, 0>(part.count, [&](int, int c) {
    const auto px = load_pack<P>(x + part.from + c), pg = load_pack<P>(g + part.from + c);
#pragma unroll
    for (int j = 0; j < P; ++j) {
      const float xj = to_float(px.v[j]), gj = channel.slope<silu>(xj, to_float(pg.v[j]));
      sums[0] += gj * channel.xhat(xj);
      sums[1] += gj;
    }
  });
  team.template combine<Added>(sums);
  if (team.lane() == 0) partial[2 * at] = sums[0], partial[2 * at + 1] = sums[1];
}

// grid [ceil(planes / block)], block kPointwiseBlock; partial [planes, chunks, 2] → sums [N, 2, C]
static __global__ void add_plane_chunks(const float* __restrict__ partial, Index planes, Index chunks, Index C, float* __restrict__ sums) {
  const Index plane = Index(blockIdx.x) * blockDim.x + threadIdx.x;
  if (plane >= planes) return;
  float total[2] = {};
  for (Index k = 0; k < chunks; ++k) total[0] += partial[2 * (plane * chunks + k)], total[1] += partial[2 * (plane * chunks + k) + 1];
  const Index n = plane / C, c = plane % C;
  sums[2 * n * C + c] = total[0], sums[(2 * n + 1) * C + c] = total[1];
}

// grid [ceil(units / 4)], block 128; sums [N, 2, C] → means of h·x̂ and h [units, 2]
template <class T>
__global__ void unit_means(GroupShape s, const float* __restrict__ sums, const T* __restrict__ gamma, float* __restrict__ means) {
  const Index unit = Index(blockIdx.x) * 4 + threadIdx.x / 32, width = s.C / s.groups;
  if (unit >= s.N * s.groups) return;  // the whole warp leaves
  const Index n = unit / s.groups, first = unit % s.groups * width;
  float total[2] = {};
  for (Index c = first + threadIdx.x % 32; c < first + width; c += 32) {
    const float scale = to_float(gamma[c]) / (float(s.S) * float(width));
    total[0] += scale * sums[2 * n * s.C + c], total[1] += scale * sums[(2 * n + 1) * s.C + c];
  }
  Team<32>().combine<Added>(total);
  if (threadIdx.x % 32 == 0) means[2 * unit] = total[0], means[2 * unit + 1] = total[1];
}

// grid and block as plane_values
template <bool silu, int K, int P, class T>
__global__ void __launch_bounds__(256, 2) plane_slopes(GroupShape s, Index chunks, const T* __restrict__ x, const T* __restrict__ gamma, const T* __restrict__ beta,
                                                    const T* __restrict__ g, const float* __restrict__ mean, const float* __restrict__ rstd, const float* __restrict__ means,
                                                    T* __restrict__ dx) {
  const Index at = own_team<K>();
  if (at >= s.N * s.C * chunks) return;
  const PlanePart part(at, chunks, s.S);
  const Channel channel(s, part.plane, gamma, beta, mean, rstd);
  const Index unit = group_of(part.plane, s.C / s.groups);
  const float mean_hx = means[2 * unit], mean_h = means[2 * unit + 1];
  each_pack<K, P, 0>(part.count, [&](int, int c) {
    const auto px = load_pack<P>(x + part.from + c), pg = load_pack<P>(g + part.from + c);
    Pack<T, P> out;
#pragma unroll
    for (int j = 0; j < P; ++j) {
      const float xj = to_float(px.v[j]), h = channel.slope<silu>(xj, to_float(pg.v[j])) * channel.gamma;
      out.v[j] = from_float<T>(channel.rstd * (h - mean_h - channel.xhat(xj) * mean_hx));
    }
    store_pack(dx + part.from + c, out);
  });
}

// The same over [N, S, C], for column_tiles: a thread's columns' channels stay in its registers.
template <int P>
struct Channels {
  Channel of[P];
};
template <class T>
struct ColumnInputs {
  GroupShape s;
  const T *x, *gamma, *beta;
  const float *mean, *rstd;
  template <int P>
  __device__ __forceinline__ Channels<P> channels(Index n, int c) const {
    return make<P>(n * s.C + c, std::make_integer_sequence<int, P>{});
  }

 private:
  template <int P, int... J>
  __device__ __forceinline__ Channels<P> make(Index plane, std::integer_sequence<int, J...>) const {
    return {{Channel(s, plane + J, gamma, beta, mean, rstd)...}};
  }
};

template <bool silu, int P_, class T>
struct ColumnValues {
  static constexpr int P = P_;
  ColumnInputs<T> in;
  T* y;

  __device__ __forceinline__ Channels<P> begin(Index n, int c) const { return in.template channels<P>(n, c); }
  __device__ __forceinline__ Pack<T, P> load(Index row, int c) const { return load_pack<P>(in.x + row * in.s.C + c); }
  __device__ __forceinline__ void use(Index row, int c, const Channels<P>& channels, const Pack<T, P>& x, float (&)[P], float (&)[P]) const {
    Pack<T, P> out;
#pragma unroll
    for (int j = 0; j < P; ++j) out.v[j] = from_float<T>(channels.of[j].template value<silu>(to_float(x.v[j])));
    store_pack(y + row * in.s.C + c, out);
  }
};

/// Σ g·x̂ and Σ g where dx is null, else ∂L/∂x by their means.
template <bool silu, int P_, class T>
struct ColumnSlopes {
  static constexpr int P = P_;
  ColumnInputs<T> in;
  const T* g;
  const float* means;
  T* dx;

  struct Shared {
    Channels<P> channels;
    float mean_h[P], mean_hx[P];
  };
  struct Loaded { Pack<T, P> x, g; };
  __device__ __forceinline__ Shared begin(Index n, int c) const {
    Shared r{in.template channels<P>(n, c), {}, {}};
    if (dx) {
#pragma unroll
      for (int j = 0; j < P; ++j) {
        const Index unit = n * in.s.groups + group_of(c + j, in.s.C / in.s.groups);
        r.mean_hx[j] = means[2 * unit], r.mean_h[j] = means[2 * unit + 1];
      }
    }
    return r;
  }
  __device__ __forceinline__ Loaded load(Index row, int c) const { return {load_pack<P>(in.x + row * in.s.C + c), load_pack<P>(g + row * in.s.C + c)}; }
  __device__ __forceinline__ void use(Index row, int c, const Shared& shared, const Loaded& l, float (&sum_gx)[P], float (&sum_g)[P]) const {
    Pack<T, P> out;
#pragma unroll
    for (int j = 0; j < P; ++j) {
      const Channel& channel = shared.channels.of[j];
      const float xj = to_float(l.x.v[j]), gj = channel.slope<silu>(xj, to_float(l.g.v[j])), xhat = channel.xhat(xj);
      sum_gx[j] += gj * xhat, sum_g[j] += gj;
      out.v[j] = from_float<T>(channel.rstd * (gj * channel.gamma - shared.mean_h[j] - xhat * shared.mean_hx[j]));
    }
    if (dx) store_pack(dx + row * in.s.C + c, out);
  }
};

/// Calls f(K, chunks of a plane, grid) with the teams for planes of S: a warp for short ones, else a block.
template <class F>
void choose_plane_team(const GroupShape& s, F&& f) {
  const Index chunks = (s.S + kPlaneChunk - 1) / kPlaneChunk, teams = s.N * s.C * chunks;
  if (s.S <= 1024) f(std::integral_constant<int, 32>{}, chunks, Grid{dim3(unsigned((teams + 7) / 8)), dim3(256)});
  else f(std::integral_constant<int, 0>{}, chunks, Grid{dim3(unsigned(teams)), dim3(256)});
}

template <class T, bool silu>
void GroupNormKernels<T, silu>::forward(const GroupShape& s, float eps, const T* x, const T* gamma, const T* beta, T* y, float* mean, float* rstd) {
  const Index units = s.N * s.groups, width = s.C / s.groups;
  if (units * s.S == 0) return;
  check_row(s.C, "group_norm");
  const auto run = [&](auto packs) {
    constexpr int P = decltype(packs)::value;
    if (s.planes) {
      const Index L = width * s.S, pieces = (L + kPiece<P> - 1) / kPiece<P>;
      const Scratch moments(units * pieces * Index(sizeof(Moments)));
      launch(plane_moments<P, T>, {dim3(unsigned(units * pieces)), dim3(256)}, x, moments.as<Moments>(), L, pieces);
      launch(join_moments, {dim3(unsigned(units)), dim3(kJoinBlock)}, moments.as<Moments>(), mean, rstd, units, Index(0), pieces, pieces, Index(1), eps);
      choose_plane_team(s, [&](auto team, Index chunks, const Grid& grid) {
        launch(plane_values<silu, decltype(team)::value, P, T>, grid, s, chunks, x, gamma, beta, mean, rstd, y);
      });
    } else {
      const Index chunk = rows_a_chunk(s.N, s.S, 4 * kTileRows), chunks = (s.S + chunk - 1) / chunk;
      const Scratch moments(s.N * chunks * s.C * Index(sizeof(Moments)));
      launch(column_moments<P, T>, {dim3(unsigned(s.N * chunks), unsigned((s.C + kTilePacks * P - 1) / (kTilePacks * P))), dim3(kTilePacks, kTileRows)}, x,
             moments.as<Moments>(), s.S, chunks, chunk, int(s.C));
      launch(join_moments, {dim3(unsigned(units)), dim3(kJoinBlock)}, moments.as<Moments>(), mean, rstd, s.groups, chunks * s.C, width, s.C, chunks, eps);
      launch_columns<T>(ColumnValues<silu, P, T>{{s, x, gamma, beta, mean, rstd}, y}, s.N, s.S, s.C, 0, {}, {});
    }
  };
  if ((s.planes ? s.S : s.C) % kPack<T> == 0 && aligned16(x, y)) run(std::integral_constant<int, kPack<T>>{});
  else run(std::integral_constant<int, 1>{});
}

template <class T, bool silu>
void GroupNormKernels<T, silu>::backward(const GroupShape& s, const T* x, const T* gamma, const T* beta, const T* g, const float* mean, const float* rstd, T* dx, T* dgamma,
                                         T* dbeta) {
  const Index units = s.N * s.groups, planes = s.N * s.C;
  if (planes * s.S == 0) {
    clear_sums(1, s.C, dgamma);
    return clear_sums(1, s.C, dbeta);
  }
  check_row(s.C, "group_norm");
  const Scratch sums(planes * 2 * 4), means(units * 2 * 4);  // [N, 2, C], [units, 2]
  float *const both = sums.as<float>(), *const of_units = means.as<float>();
  const auto run = [&](auto packs) {
    constexpr int P = decltype(packs)::value;
    const ColumnInputs<T> in{s, x, gamma, beta, mean, rstd};
    if (s.planes) {
      choose_plane_team(s, [&](auto team, Index chunks, const Grid& grid) {
        const Scratch partial(planes * chunks * 2 * 4);
        launch(plane_sums<silu, decltype(team)::value, P, T>, grid, s, chunks, x, gamma, beta, g, mean, rstd, partial.as<float>());
        launch(add_plane_chunks, pointwise_grid(planes), partial.as<float>(), planes, chunks, s.C, both);
      });
    } else {
      launch_columns<float>(ColumnSlopes<silu, P, T>{in, g, nullptr, nullptr}, s.N, s.S, s.C, 2, {both, 2 * s.C, 1}, {both + s.C, 2 * s.C, 1});
    }
    if (dgamma || dbeta) launch_add_chunks<T>(both, 1, s.N, 2, s.C, {dgamma, s.C, 1}, {dbeta, s.C, 1});
    if (!dx) return;
    launch(unit_means<T>, {dim3(unsigned((units + 3) / 4)), dim3(128)}, s, both, gamma, of_units);
    if (!s.planes) return launch_columns<T>(ColumnSlopes<silu, P, T>{in, g, of_units, dx}, s.N, s.S, s.C, 0, {}, {});
    choose_plane_team(s, [&](auto team, Index chunks, const Grid& grid) {
      launch(plane_slopes<silu, decltype(team)::value, P, T>, grid, s, chunks, x, gamma, beta, g, mean, rstd, of_units, dx);
    });
  };
  if ((s.planes ? s.S : s.C) % kPack<T> == 0 && aligned16(x, g, dx)) run(std::integral_constant<int, kPack<T>>{});
  else run(std::integral_constant<int, 1>{});
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
