// Element by element, and softmax: the hidden layers of STDiT-XL/2's MLP and of Stable Diffusion's, and scores of attention as a tensor.
#include <framegrad/ops/geglu.hpp>
#include <framegrad/ops/gelu_tanh.hpp>
#include <framegrad/ops/softmax.hpp>

#include "row.hpp"

namespace bench {
namespace {

template <class T>
void add_gelu_tanh(Index N, Index C) {
  const double x = double(N * C) * item<T>;
  add_op<T>("gelu_tanh", fg::text(N, "x", C), Bound::memory, 2 * x, 5 * x, [=] {
    return Run{{random<T, 2>({N, C})}, [](const auto& in) { return fg::gelu_tanh(in[0].template as<T, 2>()); }};
  });
}

/// x [N, 2C]
template <class T>
void add_geglu(Index N, Index C) {
  const double x = 2.0 * double(N * C) * item<T>;
  add_op<T>("geglu", fg::text(N, "x", 2 * C), Bound::memory, 1.5 * x, 4 * x, [=] {
    return Run{{random<T, 2>({N, 2 * C})}, [](const auto& in) { return fg::geglu(in[0].template as<T, 2>()); }};
  });
}

template <class T>
void add_softmax() {
  const double x = 16.0 * 12 * 256 * 256 * item<T>;
  add_op<T>("softmax", "16x12x256x256", Bound::memory, 2 * x, 5 * x, [] {
    return Run{{random<T, 4>({16, 12, 256, 256})}, [](const auto& in) { return fg::softmax(in[0].template as<T, 4>()); }};
  });
}

const Register registered([] {
  for_types([](auto t) {
    using T = decltype(t);
    add_gelu_tanh<T>(4096, 4608);
    add_geglu<T>(4096, 1280);
    add_softmax<T>();
  });
});

const RegisterForGpu on_gpu([] {
  add_gelu_tanh<fg::bf16>(8192, 4608);   // STDiT-XL/2, two samples
  add_geglu<fg::bf16>(16384, 1280);      // ModelScopeT2V: 16 frames of 32x32 cells, 320 channels
});

}  // namespace
}  // namespace bench
