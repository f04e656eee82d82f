// A program that holds tensors on a device to its very end: they are released after main, after everything that the first use of the device made.
#include <cstdio>

#include <framegrad/ops/add.hpp>

namespace {
fg::Tensor<float, 2> assigned_later;

/// Made after the device's own objects.
fg::Tensor<float, 2>& made_later() {
  static fg::Tensor<float, 2> t = assigned_later + assigned_later;
  return t;
}
}  // namespace

int main() {
  const fg::NoGrad off;
  assigned_later = fg::to(fg::full<float, 2>({3, 5}, 2.0f), fg::cuda_device());
  const bool right = fg::to(made_later(), fg::kCpu)(2, 4) == 4.0f;
  std::puts(right ? "4, as it should be" : "wrong");
  return right ? 0 : 1;
}
