// Numbers that differ from sample to sample of a batch.
#pragma once

#include <vector>

#include <framegrad/ops/mean.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// f(i) for each sample i → [B, 1, …, 1] on a device, to be broadcast against [B, …]. Rounded to T here, and nowhere earlier.
template <class T, int R, class F>
Tensor<T, R> per_sample(Index B, F&& f, Device device = kCpu) {
  Shape sizes = Shape::filled(R, 1);
  sizes[0] = B;
  Tensor<T, R> y(AnyTensor::empty(dtype_of<T>, sizes));
  for (Index i = 0; i < B; ++i) y.data()[i] = T(f(i));
  return to(y, device);
}

/// x [B, …] → the mean of each sample, [B].
template <class T, int R>
Tensor<T, 1> mean_per_sample(const Tensor<T, R>& x) {
  return [&]<int... I>(std::integer_sequence<int, I...>) { return mean<(I + 1)...>(x); }(std::make_integer_sequence<int, R - 1>{});
}

}  // namespace fg::inline FRAMEGRAD_ABI
