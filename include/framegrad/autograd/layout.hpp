// How an op takes its inputs: from where, and as a dense copy where one is laid out otherwise than it asks.
#pragma once

#include <framegrad/autograd/copy.hpp>
#include <framegrad/autograd/graph.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// How an op takes its inputs; apply makes a dense copy of an input that is laid out otherwise.
/// 'Main' is the first input; inputs of the same shape come in its order of axes, others row-major.
enum class Layout {
  rows,           // main is dense in some order of axes, the last innermost
  dense,          // main is dense in some order of axes
  row_major,      // every input is
  channels_last,  // main [N, C, …] has C innermost; others row-major
  channels,       // main [N, C, …] is row-major or has C innermost, as it comes; others row-major
  strided,        // anything goes: the op reads and writes by strides
};

namespace detail {

inline Strides channels_last(const Shape& sizes) {
  Shape moved = sizes;  // [N, …, C]
  std::rotate(moved.begin() + 1, moved.begin() + 2, moved.end());
  Strides s = row_major(moved);
  std::rotate(s.begin() + 1, s.end() - 1, s.end());
  return s;
}

/// Lays x out as asked: it becomes a dense copy where it isn't.
inline void arrange(AnyTensor& x, const AnyTensor* main, Layout layout) {
  if (layout == Layout::strided || !x.allocated()) return;
  const auto copy_with = [&](const Strides& strides) {
    const AnyTensor y = AnyTensor::empty(x.dtype(), x.sizes(), strides, x.device());
    copy_into(y, x);
    x = y;
  };
  const auto differs = [&](const Strides& strides) {
    for (int i = 0; i < x.rank(); ++i)
      if (x.sizes()[i] != 1 && x.strides()[i] != strides[i]) return true;
    return false;
  };
  if (main && x.sizes() == main->sizes() && layout != Layout::row_major) {
    if (differs(main->strides())) copy_with(main->strides());
    return;
  }
  if (main) layout = Layout::row_major;
  if (layout == Layout::channels) layout = x.rank() < 3 || x.is_row_major() || x.strides()[1] != 1 ? Layout::row_major : Layout::channels_last;
  if (layout == Layout::channels_last && x.rank() < 3) layout = Layout::row_major;
  switch (layout) {
    case Layout::row_major:
      if (!x.is_row_major()) copy_with(row_major(x.sizes()));
      break;
    case Layout::rows:
      if (!x.geometry().has_dense_rows() && x.rank() > 0) copy_with(row_major(x.sizes()));
      break;
    case Layout::channels_last: {
      const Strides wanted = channels_last(x.sizes());
      if (differs(wanted)) copy_with(wanted);
      else x = x.viewed({x.sizes(), wanted, x.geometry().offset});
      break;
    }
    default:
      if (!x.is_dense()) copy_with(dense_strides(x.sizes(), x.geometry()));
  }
}

/// The tensors that an op is given, in the order of its edges.
using Inputs = Few<AnyTensor*, 4>;

/// Where they all are.
inline Device common_device(const Inputs& inputs, std::string_view name) {
  Device device = kCpu;
  for (const AnyTensor* t : inputs) {
    if (!t->allocated()) continue;
    if (t->is_meta()) return kMeta;
    if (t->device() != kCpu) device = t->device();
  }
  for (const AnyTensor* t : inputs)
    check<DeviceError>(!t->allocated() || t->device() == device, name, "one input is on ", t->device(), ", another on ", device);
  return device;
}

/// Takes the inputs out of the graph and lays them out as the op asks. Returns the edges to where they came from.
inline Edges arranged(const Inputs& inputs, Layout layout) {
  Edges edges;
  const AnyTensor* main = nullptr;
  for (AnyTensor* t : inputs) {
    edges.push_back(Edge(std::move(*t)));
    arrange(*t, main, layout);
    if (!main) main = t;
  }
  return edges;
}

}  // namespace detail
}  // namespace fg::inline FRAMEGRAD_ABI
