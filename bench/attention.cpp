// Attention where it occurs: over a frame's patches, over 4096 tokens at once, over the frames of a patch, and to the text.
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

}  // namespace
}  // namespace bench
