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

template <class T>
void add_rows() {
  constexpr Index N = 4096, C = 1152;
  const double x = double(N * C) * item<T>;
  add_op<T>("layer_norm", "4096x1152", Bound::memory, 2 * x, 5 * x, [] {
    return Run{{random<T, 2>({N, C}), random<T, 1>({C}), random<T, 1>({C})},
               [](const auto& in) { return fg::layer_norm(in[0].template as<T, 2>(), in[1].template as<T, 1>(), in[2].template as<T, 1>()); }};
  });
  add_op<T>("layer_norm_modulate", "1x4096x1152", Bound::memory, 2 * x, 5 * x, [] {
    return Run{{random<T, 3>({1, N, C}), random<T, 3>({1, 1, C}), random<T, 3>({1, 1, C})},
               [](const auto& in) { return fg::layer_norm_modulate(in[0].template as<T, 3>(), in[1].template as<T, 3>(), in[2].template as<T, 3>()); }};
  });
  add_op<T>("gated_residual", "1x4096x1152", Bound::memory, 3 * x, 6 * x, [] {
    return Run{{random<T, 3>({1, N, C}), random<T, 3>({1, 1, C}), random<T, 3>({1, N, C})},
               [](const auto& in) { return fg::gated_residual(in[0].template as<T, 3>(), in[1].template as<T, 3>(), in[2].template as<T, 3>()); }};
  });
  const double g = 16.0 * 128 * 64 * 64 * item<T>;
  add_op<T>("group_norm_silu", "16x128x64x64", Bound::memory, 2 * g, 5 * g, [] {
    return Run{{random<T, 4>({16, 128, 64, 64}), random<T, 1>({128}), random<T, 1>({128})},
               [](const auto& in) { return fg::group_norm_silu(in[0].template as<T, 4>(), 32, in[1].template as<T, 1>(), in[2].template as<T, 1>()); }};
  });
}

const Register registered([] {
  for_types([](auto t) { add_rows<decltype(t)>(); });
});

}  // namespace
}  // namespace bench
