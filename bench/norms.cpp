// Norms and what is fused with them: the blocks of STDiT-XL/2 (4096 tokens of width 1152) and of a U-Net.
//
// Bytes: each input once, each output once. Gradients: x and dy in, dx out, after the forward's own.
#include <framegrad/ops/gated_residual.hpp>
#include <framegrad/ops/group_norm.hpp>
#include <framegrad/ops/layer_norm.hpp>
#include <framegrad/ops/layer_norm_modulate.hpp>

#include "row.hpp"

namespace bench {
namespace {

/// x [B, N, C]
template <class T>
void add_row_norms(Index B, Index N, Index C) {
  const double x = double(B * N * C) * item<T>;
  const std::string shape = fg::text(B, "x", N, "x", C);
  add_op<T>("layer_norm", fg::text(B * N, "x", C), Bound::memory, 2 * x, 5 * x, [=] {
    return Run{{random<T, 2>({B * N, C}), random<T, 1>({C}), random<T, 1>({C})},
               [](const auto& in) { return fg::layer_norm(in[0].template as<T, 2>(), in[1].template as<T, 1>(), in[2].template as<T, 1>()); }};
  });
  add_op<T>("layer_norm_modulate", shape, Bound::memory, 2 * x, 5 * x, [=] {
    return Run{{random<T, 3>({B, N, C}), random<T, 3>({B, 1, C}), random<T, 3>({B, 1, C})},
               [](const auto& in) { return fg::layer_norm_modulate(in[0].template as<T, 3>(), in[1].template as<T, 3>(), in[2].template as<T, 3>()); }};
  });
  add_op<T>("gated_residual", shape, Bound::memory, 3 * x, 6 * x, [=] {
    return Run{{random<T, 3>({B, N, C}), random<T, 3>({B, 1, C}), random<T, 3>({B, N, C})},
               [](const auto& in) { return fg::gated_residual(in[0].template as<T, 3>(), in[1].template as<T, 3>(), in[2].template as<T, 3>()); }};
  });
}

template <class T>
void add_group_norm(Index N, Index C, Index H, Index W) {
  const double x = double(N * C * H * W) * item<T>;
  add_op<T>("group_norm_silu", fg::text(N, "x", C, "x", H, "x", W), Bound::memory, 2 * x, 5 * x, [=] {
    return Run{{random<T, 4>({N, C, H, W}), random<T, 1>({C}), random<T, 1>({C})},
               [](const auto& in) { return fg::group_norm_silu(in[0].template as<T, 4>(), 32, in[1].template as<T, 1>(), in[2].template as<T, 1>()); }};
  });
}

const Register registered([] {
  for_types([](auto t) {
    using T = decltype(t);
    add_row_norms<T>(1, 4096, 1152);
    add_group_norm<T>(16, 128, 64, 64);
  });
});

const RegisterForGpu on_gpu([] {
  using T = fg::bf16;
  add_row_norms<T>(2, 4096, 1152);        // STDiT-XL/2
  add_row_norms<T>(2, 5626, 1920);        // CogVideoX-2B
  add_group_norm<T>(16, 128, 256, 256);   // STDiT-XL/2's autoencoder
  add_group_norm<T>(8, 128, 480, 720);    // CogVideoX-2B's
});

}  // namespace
}  // namespace bench
