// Norms and what is fused with them, over tokens [2, N, C] and over channels of images. Back: x and g in, dx out.
#include <framegrad/ops/gated_residual.hpp>
#include <framegrad/ops/group_norm.hpp>
#include <framegrad/ops/layer_norm.hpp>
#include <framegrad/ops/layer_norm_modulate.hpp>
#include <framegrad/ops/modulate.hpp>
#include <framegrad/ops/rearrange.hpp>
#include <framegrad/ops/rms_norm.hpp>

#include "rows.hpp"

namespace predicted {
namespace {

/// in, back: tensors of x's size that are moved.
template <class Make>
void add_rows_of(const std::string& op, const std::string& where, Index N, Index C, int in, int back, Make make) {
  constexpr Index kSmall = 16;
  const double tensor = 2.0 * double(2 * N * C), small = 2.0 * double(2 * kSmall * C);
  add(op, where, Unit::none, {in * tensor, 0, in * small}, {back * tensor, 0, back * small}, [=] { return make(kSmall, C); });
}

Small layer_norm_of(Index N, Index C) {
  return {{random<T, 3>({2, N, C}), random<T, 1>({C}), random<T, 1>({C})},
          [](const auto& in) { return fg::layer_norm(in[0].template as<T, 3>(), in[1].template as<T, 1>(), in[2].template as<T, 1>()); }};
}
Small layer_norm_modulate_of(Index N, Index C) {
  return {{random<T, 3>({2, N, C}), random<T, 3>({2, 1, C}), random<T, 3>({2, 1, C})},
          [](const auto& in) { return fg::layer_norm_modulate(in[0].template as<T, 3>(), in[1].template as<T, 3>(), in[2].template as<T, 3>()); }};
}

template <bool Silu>
Small group_norm_of(Index C, Index H, Index W) {
  return {{fg::rearrange<"n h w c -> n c h w">(random<T, 4>({2, H, W, C})), random<T, 1>({C}), random<T, 1>({C})}, [](const auto& in) {
            const auto x = in[0].template as<T, 4>();
            const auto gamma = in[1].template as<T, 1>(), beta = in[2].template as<T, 1>();
            return Silu ? fg::group_norm_silu(x, 32, gamma, beta) : fg::group_norm(x, 32, gamma, beta);
          }};
}
template <bool Silu>
void add_group_norm(const std::string& where, Index images, Index C, Index H, Index W) {
  constexpr Index kSide = 16;
  // x is read twice: its moments come before the first output.
  const double tensor = 2.0 * double(images * C * H * W), small = 2.0 * double(2 * C * kSide * kSide);
  add(Silu ? "group_norm_silu" : "group_norm", where, Unit::none, {3 * tensor, 0, 3 * small}, {5 * tensor, 0, 5 * small},
      [=] { return group_norm_of<Silu>(C, kSide, kSide); });
}

}  // namespace

void add_norm_rows() {
  const std::string stdit = "STDiT-XL/2: 2x4096 rows of 1152", cog = "CogVideoX-2B: 2x5626 rows of 1920";
  add_rows_of("layer_norm", stdit, 4096, 1152, 2, 3, layer_norm_of);
  add_rows_of("layer_norm", cog, 5626, 1920, 2, 3, layer_norm_of);
  add_rows_of("layer_norm_modulate", stdit, 4096, 1152, 2, 3, layer_norm_modulate_of);
  add_rows_of("layer_norm_modulate", cog, 5626, 1920, 2, 3, layer_norm_modulate_of);
  add_rows_of("rms_norm", stdit, 4096, 1152, 2, 3, [](Index N, Index C) -> Small {
    return {{random<T, 3>({2, N, C}), random<T, 1>({C})}, [](const auto& in) { return fg::rms_norm(in[0].template as<T, 3>(), in[1].template as<T, 1>()); }};
  });
  add_rows_of("modulate", stdit, 4096, 1152, 2, 3, [](Index N, Index C) -> Small {
    return {{random<T, 3>({2, N, C}), random<T, 3>({2, 1, C}), random<T, 3>({2, 1, C})},
            [](const auto& in) { return fg::modulate(in[0].template as<T, 3>(), in[1].template as<T, 3>(), in[2].template as<T, 3>()); }};
  });
  // x and h in, y out; back g and h in, dh out: dx is g itself.
  add_rows_of("gated_residual", stdit, 4096, 1152, 3, 3, [](Index N, Index C) -> Small {
    return {{random<T, 3>({2, N, C}), random<T, 3>({2, 1, C}), random<T, 3>({2, N, C})},
            [](const auto& in) { return fg::gated_residual(in[0].template as<T, 3>(), in[1].template as<T, 3>(), in[2].template as<T, 3>()); }};
  });
  add_group_norm<false>("STDiT-XL/2's VAE: 16 frames of 512x64x64", 16, 512, 64, 64);
  add_group_norm<true>("STDiT-XL/2's VAE: 16 frames of 128x256x256", 16, 128, 256, 256);
  add_group_norm<true>("CogVideoX-2B's VAE: 8 frames of 128x480x720", 8, 128, 480, 720);
}

}  // namespace predicted
