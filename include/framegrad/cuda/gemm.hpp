// Products of matrices on a GPU: cuda/gemm.cu (cuBLASLt), and what surrounds them: cuda/gemm_epilogue.cu.
#pragma once

#include <framegrad/core/dtype.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

enum class Activation { none, gelu_tanh, gelu_erf, silu, relu };

/// A matrix where it lies: element (r, c) at data[r·row + c·column]. The next of a batch is `batch` further; 0 repeats it.
template <class T>
struct GemmOperand {
  const T* data;
  Index row, column, batch = 0;
};

/// Whether an operand can be multiplied where it lies: one of its steps is 1, and lines don't overlap.
constexpr bool gemm_takes(Index rows, Index columns, Index row, Index column) {
  return ((column == 1 || columns == 1) && (row >= columns || rows == 1)) || ((row == 1 || rows == 1) && (column >= rows || columns == 1));
}

struct GemmSizes {
  Index m, n, k, batch = 1;
};

template <class T>
struct GemmOptions {
  float alpha = 1;
  bool accumulate = false;          // c += instead of c =; then no bias and no activation
  const T* bias = nullptr;          // [n]
  Activation activation = Activation::none;
  T* pre_activation = nullptr;      // [m, n], rows as far apart as c's
};

template <class T>
struct GemmKernels {
  /// c [m, n] ← f(alpha·a [m, k]·b [k, n] (+ c) + bias), rows of c ldc apart; sums in f32. A bias or an activation needs a batch of 1.
  static void multiply(const GemmSizes& s, const GemmOperand<T>& a, const GemmOperand<T>& b, T* c, Index ldc, Index c_batch = 0, const GemmOptions<T>& o = {});
};

template <class T>
struct EpilogueKernels {
  /// h = sums [rows, n] + bias,  pre = h,  c = f(h): rows of pre and c are ldc apart; bias and pre may be null
  static void value(Index rows, Index n, const float* sums, const T* bias, Activation f, T* pre, T* c, Index ldc);
  /// h [rows, n] = g·f′(z);  sums [n] = Σ h over the rows if not null
  static void slope(Index rows, Index n, const T* g, const T* z, Activation f, T* h, T* sums);
};

/// Whether f32 products may run as TF32 (10 bits of mantissa), on tensor cores. Not unless it is asked for.
void allow_tf32(bool allowed);
bool tf32_allowed();

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
