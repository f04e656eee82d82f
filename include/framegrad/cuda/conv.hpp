// Launchers of convolution (cuda/conv.cuh, cuda/conv_weight.cuh). x and y lie channels-last.
#pragma once

#include <framegrad/core/dtype.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

struct ConvSizes {
  struct Axis {
    Index in, out, kernel, stride, dilation, before;  // before: cells of padding
    Index weight_step;                                // between neighbours of w
  };
  Axis axis[3];                                       // depth, height, width
  Index images, C, O, groups;
  Index weight_out, weight_in;                        // steps of w from an output, from an input channel, to the next
};

template <class T>
struct ConvKernels {
  /// x [images, in…, C], w, bias [O] or null → y [images, out…, O]
  static void forward(const ConvSizes& s, const T* x, const T* w, const T* bias, T* y);
  /// dy → dx
  static void data_gradient(const ConvSizes& s, const T* dy, const T* w, T* dx);
  /// x, dy → dw, laid out by the steps
  static void weight_gradient(const ConvSizes& s, const T* x, const T* dy, T* dw);
};

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
