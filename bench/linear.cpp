// Matrix products: the MLP of STDiT-XL/2 (hidden 1152) on the 4096 tokens of 16 frames, and products in batches.
#include <framegrad/ops/linear.hpp>
#include <framegrad/ops/matmul.hpp>

#include "row.hpp"

namespace bench {
namespace {

template <class T>
void add_linear(Index M, Index K, Index N) {
  const double flops = 2.0 * double(M) * double(K) * double(N);
  add_op<T>("linear", fg::text(M, "x", K, "->", N), Bound::compute, flops, 3 * flops, [=] {
    return Run{{random<T, 2>({M, K}), random<T, 2>({N, K}, 0.02), random<T, 1>({N})},
               [](const auto& in) { return fg::linear(in[0].template as<T, 2>(), in[1].template as<T, 2>(), in[2].template as<T, 1>()); }};
  });
}

template <class T>
void add_matmul(Index B, Index M, Index K, Index N) {
  const double flops = 2.0 * double(B * M) * double(K) * double(N);
  add_op<T>("matmul", B == 1 ? fg::text(M, "x", K, " ", K, "x", N) : fg::text(B, "x", M, "x", K, " ", B, "x", K, "x", N), Bound::compute, flops, 3 * flops, [=] {
    return Run{{random<T, 3>({B, M, K}), random<T, 3>({B, K, N}, 0.02)}, [](const auto& in) { return fg::matmul(in[0].template as<T, 3>(), in[1].template as<T, 3>()); }};
  });
}

const Register registered([] {
  for_types([](auto t) {
    using T = decltype(t);
    add_linear<T>(4096, 1152, 4608);
    add_matmul<T>(1, 4096, 1152, 1152);
    add_matmul<T>(64, 256, 72, 256);
  });
});

const RegisterForGpu on_gpu([] {
  add_linear<fg::bf16>(8192, 1152, 4608);   // STDiT-XL/2, two samples
  add_linear<fg::bf16>(11252, 1920, 7680);  // CogVideoX-2B, two samples
});

}  // namespace
}  // namespace bench
