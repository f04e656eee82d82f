// gated_residual on a GPU: see ops/gated_residual.hpp.
//
//   GateForward, GateBackward   a thread owns a pack of columns and walks rows (column_tiles): the gate stays in its registers
//
// Bound by memory: x and h are read and y is written once forward; g and h are read and dh is written once backward.
#include <framegrad/cuda/gated_residual.hpp>

#include "cuda/row_sums.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

/// Where the operands' rows begin. The last axis left needs no division: after the host has merged axes that is often the only one.
__device__ __forceinline__ void find_row(const Walk<2>& w, Index row, Index (&at)[2]) {
  at[0] = at[1] = 0;
  for (int a = w.rank - 1; a > 0; --a) {
    const Index q = group_of(row, w.size[a]), r = row - q * w.size[a];
    at[0] += r * w.stride[0][a], at[1] += r * w.stride[1][a];
    row = q;
  }
  at[0] += row * w.stride[0][0], at[1] += row * w.stride[1][0];
}

template <int P>
struct GateValues {
  float v[P];
};
template <int P, class T>
__device__ __forceinline__ GateValues<P> load_gate(const Gate<const T>& gate, Index group, int c) {
  GateValues<P> r;
#pragma unroll
  for (int j = 0; j < P; ++j) r.v[j] = to_float(gate.at[group * gate.group_stride + (c + j) * gate.stride]);
  return r;
}

template <int P_, class T>
struct GateForward {
  static constexpr int P = P_;
  Walk<2> where;
  const T* x;
  Gate<const T> gate;
  const T* h;
  T* y;
  Index C;

  struct Loaded { Pack<T, P> x, h; };
  __device__ __forceinline__ GateValues<P> begin(Index group, int c) const { return load_gate<P>(gate, group, c); }
  __device__ __forceinline__ Loaded load(Index row, int c) const {
    Index at[2];
    find_row(where, row, at);
    return {load_pack<P>(x + at[0] + c), load_pack<P>(h + at[1] + c)};
  }
  __device__ __forceinline__ void use(Index row, int c, const GateValues<P>& factor, const Loaded& l, float (&)[P], float (&)[P]) const {
    Pack<T, P> out;
#pragma unroll
    for (int j = 0; j < P; ++j) out.v[j] = from_float<T>(to_float(l.x.v[j]) + factor.v[j] * to_float(l.h.v[j]));
    store_pack(y + row * C + c, out);
  }
};

template <int P_, class T>
struct GateBackward {
  static constexpr int P = P_;
  Walk<2> where;
  const T* g;
  Gate<const T> gate;
  const T* h;  // null: dgate isn't wanted
  T* dh;       // null: not wanted
  Index C;

  struct Loaded {
    Pack<T, P> g, h;
    Index to;
  };
  __device__ __forceinline__ GateValues<P> begin(Index group, int c) const { return load_gate<P>(gate, group, c); }
  __device__ __forceinline__ Loaded load(Index row, int c) const {
    Index at[2];
    find_row(where, row, at);
    Loaded l{};
    l.g = load_pack<P>(g + row * C + c);
    if (h) l.h = load_pack<P>(h + at[0] + c);
    l.to = at[1];
    return l;
  }
  __device__ __forceinline__ void use(Index, int c, const GateValues<P>& factor, const Loaded& l, float (&dgate)[P], float (&)[P]) const {
    Pack<T, P> out;
#pragma unroll
    for (int j = 0; j < P; ++j) {
      const float gj = to_float(l.g.v[j]);
      dgate[j] += gj * to_float(l.h.v[j]);
      out.v[j] = from_float<T>(gj * factor.v[j]);
    }
    if (dh) store_pack(dh + l.to + c, out);
  }
};

namespace {
bool whole_packs(const Walk<2>& w, Index C, int P) {
  for (int a = 0; a < w.rank; ++a)
    if (w.stride[0][a] % P || w.stride[1][a] % P) return false;
  return C % P == 0;
}
}  // namespace

template <class T>
void GatedResidualKernels<T>::forward(const Walk<2>& where, Index groups, Index C, const T* x, Gate<const T> gate, const T* h, T* y) {
  if (where.count * C == 0) return;
  check_row(C, "gated_residual");
  const auto run = [&](auto width) {
    launch_columns<T>(GateForward<decltype(width)::value, T>{where, x, gate, h, y, C}, groups, where.count / groups, C, 0, {}, {});
  };
  if (whole_packs(where, C, kPack<T>) && aligned16(x, h, y)) run(std::integral_constant<int, kPack<T>>{});
  else run(std::integral_constant<int, 1>{});
}

template <class T>
void GatedResidualKernels<T>::backward(const Walk<2>& where, Index groups, Index C, const T* g, Gate<const T> gate, const T* h, T* dh, Gate<T> dgate) {
  if (groups * C == 0) return;
  check_row(C, "gated_residual");
  const SumTarget<T> to{dgate.at, dgate.group_stride, dgate.stride};
  if (where.count == 0) return launch_add_chunks<T>(nullptr, groups, 0, 1, C, to, {});  // the sums of no rows
  const auto run = [&](auto width) {
    launch_columns<T>(GateBackward<decltype(width)::value, T>{where, g, gate, dgate.at ? h : nullptr, dh, C}, groups, where.count / groups, C, dgate.at ? 1 : 0, to, {});
  };
  if (whole_packs(where, C, kPack<T>) && aligned16(g, h, dh)) run(std::integral_constant<int, kPack<T>>{});
  else run(std::integral_constant<int, 1>{});
}

template struct GatedResidualKernels<float>;
template struct GatedResidualKernels<bf16>;
template struct GatedResidualKernels<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
