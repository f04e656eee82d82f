// One step of training an STDiT: loss, gradients, clipping, AdamW. bf16 has f32 masters and moments, as it trains here.
#include <framegrad/models/stdit.hpp>
#include <framegrad/ops/mse.hpp>
#include <framegrad/optim/adamw.hpp>
#include <framegrad/optim/clip.hpp>

#include "row.hpp"

namespace bench {
namespace {

constexpr Index kBatch = 2;

fg::StditConfig config() {
  fg::StditConfig c;
  c.hidden = 384, c.depth = 6, c.heads = 6, c.caption_width = 512, c.predicts_variance = false;
  return c;  // the rest is the released model's: 4 channels of 16x32x32, patches of 1x2x2, 120 text tokens
}

/// FLOPs of a step's products: 2 a weight and token forward, twice that back, and attention.
double step_flops() {
  const auto c = config();
  const double D = double(c.hidden), S = 256, T = double(c.frames), N = S * T, L = double(c.caption_tokens);
  const double block = 2 * N * D * D * (4 + 4 + 2 + 8) + 2 * L * D * D * 2 + 4 * N * D * (S + T + L);
  return 3 * double(kBatch) * double(c.depth) * block;
}

template <class T>
void add_step() {
  add({"stdit training step", "2x4x16x32x32 hidden 384 depth 6", fg::dtype_of<T>, Bound::compute, step_flops(), []() -> Work {
         const fg::Params params(0, device());
         const auto model = std::make_shared<fg::Stdit<T>>(config(), params);
         const auto optimizer = std::make_shared<fg::AdamW>(params, fg::AdamWOptions{.weight_decay = 0.01});
         const auto x = random<T, 5>({kBatch, 4, 16, 32, 32});
         const auto target = random<float, 5>({kBatch, 4, 16, 32, 32});
         const auto caption = random<T, 4>({kBatch, 1, 120, 512});
         const auto mask = fg::full<std::int64_t, 2>({kBatch, 120}, 1);
         const auto t = fg::full<float, 1>({kBatch}, 500.0f);
         return {[=] {
           params.zero_grad();
           fg::backward(fg::mse((*model)(x, t, caption, mask), target));
           optimizer->step(1e-4, fg::clip_factor(fg::grad_norm(params), 1.0));
         }};
       }});
}

const Register registered([] {
  for_types([](auto t) { add_step<decltype(t)>(); });
});

}  // namespace
}  // namespace bench
