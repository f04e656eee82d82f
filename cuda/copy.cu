// Copies between tensors of any layout on one GPU, with conversion: what contiguous, cast, cat, pad and views move data with.
//
//   copy_walk      a thread owns an element of dst, in dst's order of memory
//   transpose      a block owns a tile of 32 × 32 of two axes, one of which is src's run and the other dst's, so that both sides are read and
//                  written in runs; through shared memory
//   convert_walk   any two types, by way of double
//
// Bound by memory: src is read once, dst written once (and read, where it is added to).
#include <framegrad/core/backend.hpp>
#include <framegrad/cuda/walk.hpp>

#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
namespace {

// grid [ceil(count / block)], block kPointwiseBlock
template <class I, class D, class S, bool Add>
__global__ void copy_walk(Walk<2> w, D* __restrict__ dst, const S* __restrict__ src) {
  const Index i = Index(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= w.count) return;
  Index at[2];
  locate<I>(w, I(i), at);
  if constexpr (Add) dst[at[0]] = from_float<D>(to_float(dst[at[0]]) + to_float(src[at[1]]));
  else if constexpr (std::is_same_v<D, S>) dst[at[0]] = src[at[1]];
  else dst[at[0]] = from_float<D>(to_float(src[at[1]]));
}

template <int P, class T>
__global__ void copy_dense_add(Index n, T* __restrict__ dst, const T* __restrict__ src) {
  own_elements<P>(n, [&](auto width, Index i) {
    constexpr int W = width;
    auto d = load_pack<W>(dst + i);
    const auto s = load_pack<W>(src + i);
#pragma unroll
    for (int j = 0; j < W; ++j) d.v[j] = from_float<T>(to_float(d.v[j]) + to_float(s.v[j]));
    store_pack(dst + i, d);
  });
}

inline constexpr int kTile = 32, kTileRows = 8;

/// The walk's last axis is dst's run, axis `across` src's.
// grid [tiles of across, tiles of the last axis, the other axes], block [32, 8]
template <class T>
__global__ void transpose(Walk<2> w, int across, T* __restrict__ dst, const T* __restrict__ src) {
  __shared__ T tile[kTile][kTile + 1];  // one column more: a column's elements stand in different banks
  const int last = w.rank - 1;
  for (Index rest = blockIdx.z, a = last; a-- > 0;) {
    if (a == across) continue;
    const Index i = rest % w.size[a];
    rest /= w.size[a];
    dst += i * w.stride[0][a], src += i * w.stride[1][a];
  }
  const Index u0 = Index(blockIdx.x) * kTile, v0 = Index(blockIdx.y) * kTile;  // along across; along the last axis
  for (int j = threadIdx.y; j < kTile; j += kTileRows) {
    const Index u = u0 + threadIdx.x, v = v0 + j;
    if (u < w.size[across] && v < w.size[last]) tile[j][threadIdx.x] = src[u + v * w.stride[1][last]];
  }
  __syncthreads();
  for (int j = threadIdx.y; j < kTile; j += kTileRows) {
    const Index u = u0 + j, v = v0 + threadIdx.x;
    if (u < w.size[across] && v < w.size[last]) dst[u * w.stride[0][across] + v] = tile[threadIdx.x][j];
  }
}

__device__ double read_any(Dtype d, const void* p, Index i) {
  switch (d) {
    case Dtype::f32: return double(static_cast<const float*>(p)[i]);
    case Dtype::f64: return static_cast<const double*>(p)[i];
    case Dtype::bf16: return double(to_float(static_cast<const bf16*>(p)[i]));
    case Dtype::f16: return double(to_float(static_cast<const half*>(p)[i]));
    case Dtype::i32: return double(static_cast<const std::int32_t*>(p)[i]);
    case Dtype::i64: return double(static_cast<const std::int64_t*>(p)[i]);
    case Dtype::u8: return double(static_cast<const std::uint8_t*>(p)[i]);
    default: return double(static_cast<const bool*>(p)[i]);
  }
}
__device__ void write_any(Dtype d, void* p, Index i, double v) {
  switch (d) {
    case Dtype::f32: static_cast<float*>(p)[i] = float(v); return;
    case Dtype::f64: static_cast<double*>(p)[i] = v; return;
    case Dtype::bf16: static_cast<bf16*>(p)[i] = from_float<bf16>(float(v)); return;
    case Dtype::f16: static_cast<half*>(p)[i] = from_float<half>(float(v)); return;
    case Dtype::i32: static_cast<std::int32_t*>(p)[i] = std::int32_t(v); return;
    case Dtype::i64: static_cast<std::int64_t*>(p)[i] = std::int64_t(v); return;
    case Dtype::u8: static_cast<std::uint8_t*>(p)[i] = std::uint8_t(v); return;
    default: static_cast<bool*>(p)[i] = v != 0.0; return;
  }
}
// grid [ceil(count / block)], block kPointwiseBlock
__global__ void convert_walk(Walk<2> w, Dtype to, void* dst, Dtype from, const void* src, bool add) {
  const Index i = Index(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= w.count) return;
  Index at[2];
  locate<Index>(w, i, at);
  write_any(to, dst, at[0], read_any(from, src, at[1]) + (add ? read_any(to, dst, at[0]) : 0.0));
}

/// Axes in dst's order of memory, merged where both sides allow.
Walk<2> merged(const Index* sizes, const Index* dst, const Index* src, int rank) {
  int order[kMaxAxes];
  for (int i = 0; i < rank; ++i) {
    int at = i;
    for (; at > 0 && dst[order[at - 1]] < dst[i]; --at) order[at] = order[at - 1];
    order[at] = i;
  }
  Walk<2> w;
  for (int i = 0; i < rank; ++i) {
    const int a = order[i];
    w.count *= sizes[a];
    if (sizes[a] == 1) continue;
    const int last = w.rank - 1;
    if (last >= 0 && w.stride[0][last] == dst[a] * sizes[a] && w.stride[1][last] == src[a] * sizes[a]) {
      w.size[last] *= sizes[a], w.stride[0][last] = dst[a], w.stride[1][last] = src[a];
    } else {
      w.size[w.rank] = sizes[a], w.stride[0][w.rank] = dst[a], w.stride[1][w.rank] = src[a];
      ++w.rank;
    }
  }
  return w;
}

template <class D, class S, bool Add>
void walk(const Walk<2>& w, void* dst, const void* src) {
  if (w.count < (Index(1) << 31)) launch(copy_walk<int, D, S, Add>, pointwise_grid(w.count), w, static_cast<D*>(dst), static_cast<const S*>(src));
  else launch(copy_walk<Index, D, S, Add>, pointwise_grid(w.count), w, static_cast<D*>(dst), static_cast<const S*>(src));
}

template <class T>
void copy_same(const Walk<2>& w, void* dst, const void* src) {
  const int last = w.rank - 1;
  if (w.rank >= 2 && w.stride[0][last] == 1 && w.stride[1][last] != 1 && w.size[last] >= 8)
    for (int a = 0; a < last; ++a) {
      if (w.stride[1][a] != 1 || w.size[a] < 8) continue;
      const auto tiles = [](Index n) { return unsigned((n + kTile - 1) / kTile); };
      const Index others = w.count / w.size[a] / w.size[last];
      if (others > 65535 || (w.size[last] + kTile - 1) / kTile > 65535) break;
      return launch(transpose<T>, {dim3(tiles(w.size[a]), tiles(w.size[last]), unsigned(others)), dim3(kTile, kTileRows)}, w, a, static_cast<T*>(dst),
                    static_cast<const T*>(src));
    }
  walk<T, T, false>(w, dst, src);
}

template <class T>
void add_same(const Walk<2>& w, void* dst, const void* src) {
  constexpr int P = kPack<T>;
  if (w.unit() && aligned16(dst, src))
    return launch(copy_dense_add<P, T>, pointwise_grid(w.count / P + w.count % P), w.count, static_cast<T*>(dst), static_cast<const T*>(src));
  walk<T, T, true>(w, dst, src);
}

}  // namespace

void copy_strided(Dtype to, void* dst, const Index* dst_strides, Dtype from, const void* src, const Index* src_strides, const Index* sizes, int rank, bool add) {
  const Walk<2> w = merged(sizes, dst_strides, src_strides, rank);
  if (w.count == 0) return;
  if (to == from && !add) {
    if (w.unit()) return copy_on_device(dst, src, w.count * item_bytes(to));
    switch (item_bytes(to)) {
      case 1: return copy_same<std::uint8_t>(w, dst, src);
      case 2: return copy_same<std::uint16_t>(w, dst, src);
      case 4: return copy_same<std::uint32_t>(w, dst, src);
      default: return copy_same<std::uint64_t>(w, dst, src);
    }
  }
  if (to == from && to == Dtype::f32) return add_same<float>(w, dst, src);
  if (to == from && to == Dtype::bf16) return add_same<bf16>(w, dst, src);
  if (to == Dtype::f32 && from == Dtype::bf16) return add ? walk<float, bf16, true>(w, dst, src) : walk<float, bf16, false>(w, dst, src);
  if (to == Dtype::bf16 && from == Dtype::f32) return add ? walk<bf16, float, true>(w, dst, src) : walk<bf16, float, false>(w, dst, src);
  launch(convert_walk, pointwise_grid(w.count), w, to, dst, from, src, add);
}

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
