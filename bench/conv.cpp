// Convolution over frames, height and width, as in a video autoencoder. On a GPU also the shapes of Stable Diffusion's and CogVideoX's.
// Products are counted as the definition has them: where windows of 3x3 take fewer, a share of the peak may exceed 1.
#include <framegrad/ops/conv.hpp>

#include "row.hpp"

namespace bench {
namespace {

template <class T>
void add_conv3d(Index C, Index O, Index T_, Index H, Index W) {
  const double flops = 2.0 * double(C * O) * 27 * double(T_ * H * W);
  add_op<T>("conv3d", fg::text("1x", C, "x", T_, "x", H, "x", W, "->", O), Bound::compute, flops, 3 * flops, [=] {
    return Run{{random<T, 5>({1, C, T_, H, W}), random<T, 5>({O, C, 3, 3, 3}, 0.02), random<T, 1>({O})},
               [](const auto& in) { return fg::conv3d(in[0].template as<T, 5>(), in[1].template as<T, 5>(), in[2].template as<T, 1>(), {.padding = 1}); }};
  });
}

template <class T>
void add_conv2d(Index N, Index C, Index O, Index H, Index W) {
  const double flops = 2.0 * double(C * O) * 9 * double(N * H * W);
  add_op<T>("conv2d", fg::text(N, "x", C, "x", H, "x", W, "->", O), Bound::compute, flops, 3 * flops, [=] {
    return Run{{random<T, 4>({N, C, H, W}), random<T, 4>({O, C, 3, 3}, 0.02), random<T, 1>({O})},
               [](const auto& in) { return fg::conv2d(in[0].template as<T, 4>(), in[1].template as<T, 4>(), in[2].template as<T, 1>(), {.padding = 1}); }};
  });
}

const Register registered([] {
  for_types([](auto t) { add_conv3d<decltype(t)>(64, 64, 8, 64, 64); });
});

const RegisterForGpu on_gpu([] {
  using T = fg::bf16;
  add_conv2d<T>(16, 512, 512, 64, 64), add_conv2d<T>(16, 128, 128, 256, 256);    // STDiT-XL/2's autoencoder, 16x256x256
  add_conv3d<T>(128, 128, 8, 480, 720), add_conv3d<T>(512, 512, 2, 60, 90);      // CogVideoX-2B's, 16x480x720
});

}  // namespace
}  // namespace bench
