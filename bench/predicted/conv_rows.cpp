// Convolution forward, and its gradients, which are two products of the same size; resampling and pooling of channels-last images.
#include <framegrad/ops/avg_pool.hpp>
#include <framegrad/ops/conv.hpp>
#include <framegrad/ops/max_pool.hpp>
#include <framegrad/ops/rearrange.hpp>
#include <framegrad/ops/upsample_nearest.hpp>

#include "rows.hpp"

namespace predicted {
namespace {

/// A window of 3 along S axes, positions kept.
template <int S>
void add_conv(const std::string& where, Index C, Index O, Index positions) {
  constexpr Index kSide = 8, kTaps = S == 3 ? 27 : 9;
  const double weights = double(C * O * kTaps), n = double(positions);
  const Cost forward{2 * (n * double(C + O) + weights), 2 * n * weights}, back{2 * (n * double(2 * C + O) + 2 * weights), 4 * n * weights};
  add(S == 3 ? "conv3d 3x3x3" : "conv2d 3x3", where, Unit::tensor_cores, forward, back, [=]() -> Small {
    if constexpr (S == 3) {
      return {{fg::rearrange<"n t h w c -> n c t h w">(random<T, 5>({1, 4, kSide, kSide, C})), random<T, 5>({O, C, 3, 3, 3})},
              [](const auto& in) { return fg::conv3d(in[0].template as<T, 5>(), in[1].template as<T, 5>(), {}, {.padding = 1}); }};
    } else {
      return {{fg::rearrange<"n h w c -> n c h w">(random<T, 4>({2, kSide, kSide, C})), random<T, 4>({O, C, 3, 3})},
              [](const auto& in) { return fg::conv2d(in[0].template as<T, 4>(), in[1].template as<T, 4>(), {}, {.padding = 1}); }};
    }
  });
}

/// Each number of the larger side once, and of the smaller one.
template <class F>
void add_resampling(const std::string& op, const std::string& where, double large, double small, bool input_is_large, F f) {
  constexpr double kSmall = 16 * 16 * 128;  // numbers of the small run's input
  const Cost all{2 * (large + small), 0, 2 * kSmall * (input_is_large ? 1 + small / large : 1 + large / small)};
  add(op, where, Unit::none, all, all,
      [=]() -> Small { return {{fg::rearrange<"n h w c -> n c h w">(random<T, 4>({1, 16, 16, 128}))}, [f](const auto& in) { return f(in[0].template as<T, 4>()); }}; });
}

}  // namespace

void add_conv_rows() {
  add_conv<2>("STDiT-XL/2's VAE: 16 frames of 64x64, 512 to 512", 512, 512, 16 * 64 * 64);
  add_conv<2>("STDiT-XL/2's VAE: 16 frames of 256x256, 128 to 128", 128, 128, 16 * 256 * 256);
  add_conv<3>("CogVideoX-2B's VAE: 8 frames of 480x720, 128 to 128", 128, 128, Index(8) * 480 * 720);
  add_conv<3>("CogVideoX-2B's VAE: 2 frames of 60x90, 512 to 512", 512, 512, 2 * 60 * 90);
  const double image = 16.0 * 128 * 128 * 128;
  add_resampling("upsample_nearest by 2", "STDiT-XL/2's VAE: 16 frames of 128x128x128", 4 * image, image, false, [](const auto& x) { return fg::upsample_nearest(x, 2); });
  add_resampling("avg_pool 2x2", "16 frames of 128x128x128", image, image / 4, true, [](const auto& x) { return fg::avg_pool(x, 2, {.stride = 2}); });
  add_resampling("max_pool 2x2", "16 frames of 128x128x128", image, image / 4, true, [](const auto& x) { return fg::max_pool(x, 2, {.stride = 2}); });
}

}  // namespace predicted
