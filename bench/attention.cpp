// Attention where it occurs: over a frame's patches, over 4096 tokens at once, over the frames of a patch, and to the text. On a GPU also each head_dim
// that has a kernel of its own.
//
// Shapes are [batch, heads, positions, head_dim]; memory is [batch, positions, heads·head_dim], as the linear layers before it
// leave it. FLOPs: two products forward, five backward, of which one repeats a forward one.
#include <framegrad/ops/attention.hpp>

#include "row.hpp"

namespace bench {
namespace {

template <class T>
void add_attention(const std::string& name, Index B, Index H, Index N, Index d, Index M) {
  const double flops = 4.0 * double(B * H) * double(N) * double(M) * double(d);
  add_op<T>(name, M == N ? fg::text(B, "x", H, "x", N, "x", d) : fg::text(B, "x", H, "x", N, "x", d, " keys ", M), Bound::compute, flops, 3.5 * flops, [=] {
    return Run{{random<T, 3>({B, N, H * d}), random<T, 3>({B, M, H * d}), random<T, 3>({B, M, H * d})},
               [=](const auto& in) { return fg::attention(in[0].template as<T, 3>(), in[1].template as<T, 3>(), in[2].template as<T, 3>(), H); }};
  });
}

const Register registered([] {
  for_types([](auto t) {
    using T = decltype(t);
    add_attention<T>("attention spatial", 16, 16, 256, 72, 256);
    add_attention<T>("attention full", 1, 16, 4096, 64, 4096);
    add_attention<T>("attention temporal", 256, 16, 16, 72, 16);
    add_attention<T>("attention cross", 1, 16, 4096, 72, 120);
  });
});

const RegisterForGpu on_gpu([] {
  using T = fg::bf16;
  add_attention<T>("attention spatial", 32, 16, 256, 72, 256);  // STDiT-XL/2, 16x256x256, two samples
  add_attention<T>("attention temporal", 512, 16, 16, 72, 16);
  add_attention<T>("attention cross", 2, 16, 4096, 72, 120);
  add_attention<T>("attention full", 2, 30, 5626, 64, 5626);    // CogVideoX-2B: 226 words, and 4 frames of 30x45 patches
  for (const Index d : {32, 40, 64, 80, 96, 128, 256}) add_attention<T>("attention full", 4, 16, 4096, d, 4096);
});

}  // namespace
}  // namespace bench
