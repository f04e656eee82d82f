// How an op takes its inputs, and the dense copy that it gets of one that is laid out otherwise.
#pragma once

#include <framegrad/autograd/copy.hpp>

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

inline AnyTensor copy_with(const AnyTensor& x, const Strides& strides) {
  AnyTensor y = AnyTensor::empty(x.dtype(), x.sizes(), strides, x.device());
  copy_into(y, x.detach());
  return y;
}

/// x as the layout asks: x itself where it fits.
inline AnyTensor arranged(const AnyTensor& x, const AnyTensor* main, Layout layout) {
  if (layout == Layout::strided || !x.allocated()) return x;
  const bool is_main = main == nullptr;
  if (layout == Layout::row_major || (!is_main && !(x.sizes() == main->sizes())))
    return x.is_row_major() ? x : copy_with(x, row_major(x.sizes()));
  if (!is_main) {
    if (x.strides() == main->strides()) return x;
    for (int i = 0; i < x.rank(); ++i)
      if (x.sizes()[i] != 1 && x.strides()[i] != main->strides()[i]) return copy_with(x, main->strides());
    return x;
  }
  if (layout == Layout::channels) layout = x.rank() < 3 || x.is_row_major() || x.strides()[1] != 1 ? Layout::row_major : Layout::channels_last;
  switch (layout) {
    case Layout::row_major: return x.is_row_major() ? x : copy_with(x, row_major(x.sizes()));
    case Layout::rows: return x.geometry().has_dense_rows() || x.rank() == 0 ? x : copy_with(x, row_major(x.sizes()));
    case Layout::channels_last: {
      if (x.rank() < 3) return x.is_row_major() ? x : copy_with(x, row_major(x.sizes()));
      const Strides wanted = channels_last(x.sizes());
      for (int i = 0; i < x.rank(); ++i)
        if (x.sizes()[i] != 1 && x.strides()[i] != wanted[i]) return copy_with(x, wanted);
      return x.viewed({x.sizes(), wanted, x.geometry().offset});
    }
    default: return x.is_dense() ? x : copy_with(x, dense_strides(x.sizes(), x.geometry()));
  }
}

}  // namespace detail
}  // namespace fg::inline FRAMEGRAD_ABI
