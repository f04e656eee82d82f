// Attention, with q, k and v as the layers before leave them: [batch, positions, heads·head_dim].
//
// Forward 4·N·M·d operations a head and the four tensors; back 14·N·M·d, since an order that is always the same takes the scores twice, with q, k, v, y
// and g in, three gradients out.
#include <framegrad/ops/attention.hpp>

#include "rows.hpp"

namespace predicted {
namespace {

constexpr Index kBatch = 2, kHeads = 2;  // of the small run

void add_attention(const std::string& op, const std::string& where, Unit unit, Index B, Index heads, Index d, Index N, Index M, Index small_n, Index small_m) {
  const double batch_width = double(B * heads * d), products = batch_width * double(N) * double(M);
  const double tensors = 2 * batch_width * double(2 * N + 2 * M), small = 2 * double(kBatch * kHeads * d) * double(2 * small_n + 2 * small_m);
  const Cost forward{tensors, 4 * products, small}, back{2 * tensors, 14 * products, 2 * small};
  add(op, where, unit, forward, back, [=]() -> Small {
    const Index width = kHeads * d;
    return {{random<T, 3>({kBatch, small_n, width}), random<T, 3>({kBatch, small_m, width}), random<T, 3>({kBatch, small_m, width})},
            [](const auto& in) { return fg::attention(in[0].template as<T, 3>(), in[1].template as<T, 3>(), in[2].template as<T, 3>(), kHeads); }};
  });
}

}  // namespace

void add_attention_rows() {
  add_attention("attention, head_dim 72", "STDiT-XL/2, patches of a frame: 32x16 heads, 256 tokens", Unit::tensor_cores, 32, 16, 72, 256, 256, 128, 128);
  add_attention("attention to the text, head_dim 72", "STDiT-XL/2: 2x16 heads, 4096 tokens, 120 keys", Unit::tensor_cores, 2, 16, 72, 4096, 120, 128, 120);
  add_attention("attention, head_dim 64", "CogVideoX-2B: 2x30 heads, 5626 tokens", Unit::tensor_cores, 2, 30, 64, 5626, 5626, 128, 128);
  add_attention("attention of short sequences", "STDiT-XL/2, frames of a patch: 512x16 heads, 16 tokens", Unit::tensor_cores, 512, 16, 72, 16, 16, 16, 16);
}

}  // namespace predicted
