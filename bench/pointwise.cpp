// Element by element, and softmax: the hidden layer of STDiT-XL/2's MLP, and scores of attention as a tensor.
#include <framegrad/ops/gelu_tanh.hpp>
#include <framegrad/ops/softmax.hpp>

#include "row.hpp"

namespace bench {
namespace {

template <class T>
void add_rows() {
  const double x = 4096.0 * 4608 * item<T>, s = 16.0 * 12 * 256 * 256 * item<T>;
  add_op<T>("gelu_tanh", "4096x4608", Bound::memory, 2 * x, 5 * x, [] {
    return Run{{random<T, 2>({4096, 4608})}, [](const auto& in) { return fg::gelu_tanh(in[0].template as<T, 2>()); }};
  });
  add_op<T>("softmax", "16x12x256x256", Bound::memory, 2 * s, 5 * s, [] {
    return Run{{random<T, 4>({16, 12, 256, 256})}, [](const auto& in) { return fg::softmax(in[0].template as<T, 4>()); }};
  });
}

const Register registered([] {
  for_types([](auto t) { add_rows<decltype(t)>(); });
});

}  // namespace
}  // namespace bench
