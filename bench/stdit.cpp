// STDiT in two sizes: a step of training (loss, gradients, clipping, AdamW), the same with checkpointed blocks, and one call of the network as
// sampling makes it: without a graph, guided, so that each film is in the batch with its words and without. Weights of bf16 have f32 masters and
// moments, as they train here. The shape's words name the configuration; the rest is the released model's, without the variance.
#include <framegrad/diffusion/guidance.hpp>
#include <framegrad/models/stdit.hpp>
#include <framegrad/ops/mse.hpp>
#include <framegrad/optim/adamw.hpp>
#include <framegrad/optim/clip.hpp>

#include "row.hpp"

namespace bench {
namespace {

struct Size {
  Index batch, hidden, depth, heads, caption_width;
  std::string shape() const { return fg::text(batch, "x4x16x32x32 hidden ", hidden, " depth ", depth, " heads ", heads, " caption ", caption_width); }
};
constexpr Size kSmall{2, 384, 6, 6, 512};
constexpr Size kXl{1, 1152, 4, 16, 4096};  // STDiT-XL/2 at 16x256x256, cut to four of its 28 blocks

fg::StditConfig config(const Size& s, bool checkpointed = false) {
  fg::StditConfig c;
  c.hidden = s.hidden, c.depth = s.depth, c.heads = s.heads, c.caption_width = s.caption_width;
  c.predicts_variance = false, c.checkpoint_blocks = checkpointed;
  return c;
}

/// FLOPs of the blocks' products forward: 2 a weight and token, and attention.
double forward_flops(const Size& s, Index batch) {
  const auto c = config(s);
  const double D = double(c.hidden), S = 256, T = double(c.frames), N = S * T, L = double(c.caption_tokens);
  const double block = 2 * N * D * D * (4 + 4 + 2 + 8) + 2 * L * D * D * 2 + 4 * N * D * (S + T + L);
  return double(batch) * double(c.depth) * block;
}

/// What the network is given beside x.
template <class T>
struct Given {
  explicit Given(const Size& s, Index batch)
      : caption(random<T, 4>({batch, 1, 120, s.caption_width})), mask(fg::full<std::int64_t, 2>({batch, 120}, 1)), t(fg::full<float, 1>({batch}, 500.0f)) {}
  fg::Tensor<T, 4> caption;
  fg::Tensor<std::int64_t, 2> mask;
  fg::Tensor<float, 1> t;
};

template <class T>
void add_step(const Size& s, bool checkpointed) {
  // What checkpointing computes again is not counted: it is the same step.
  add({checkpointed ? "stdit training step, checkpointed" : "stdit training step", s.shape(), fg::dtype_of<T>, Bound::compute, 3 * forward_flops(s, s.batch),
       [=]() -> Work {
         const fg::Params params(0, device());
         const auto model = std::make_shared<fg::Stdit<T>>(config(s, checkpointed), params);
         const auto optimizer = std::make_shared<fg::AdamW>(params, fg::AdamWOptions{.weight_decay = 0.01});
         const auto x = random<T, 5>({s.batch, 4, 16, 32, 32});
         const auto target = random<float, 5>({s.batch, 4, 16, 32, 32});
         const Given<T> given(s, s.batch);
         return {[=] {
           params.zero_grad();
           fg::backward(fg::mse((*model)(x, given.t, given.caption, given.mask), target));
           const fg::TraceScope scope("clip and adamw", "step");
           optimizer->step(1e-4, fg::clip_factor(fg::grad_norm(params), 1.0));
         }};
       },
       parameters_of<fg::Stdit<float>>(config(s))});
}

template <class T>
void add_sampling(const Size& s) {
  add({"stdit sampling", s.shape(), fg::dtype_of<T>, Bound::compute, forward_flops(s, 2 * s.batch),
       [=]() -> Work {
         const fg::Params params(0, device());
         const auto model = std::make_shared<fg::Stdit<T>>(config(s), params);
         const auto x = random<float, 5>({s.batch, 4, 16, 32, 32});
         const Given<T> given(s, 2 * s.batch);
         const auto network = [=](const fg::Tensor<float, 5>& both, const fg::Tensor<float, 1>& t) { return (*model)(fg::cast<T>(both), t, given.caption, given.mask); };
         const auto guided = fg::guided(network, 7.0, fg::kAllChannels);
         const auto t = fg::full<float, 1>({s.batch}, 500.0f);
         return {[=] { guided(x, t); }};
       },
       parameters_of<fg::Stdit<float>>(config(s))});
}

const Register registered([] {
  for_types([](auto t) {
    using T = decltype(t);
    add_step<T>(kSmall, false);
    add_step<T>(kSmall, true);
    add_sampling<T>(kSmall);
    add_step<T>(kXl, false);
    add_sampling<T>(kXl);
  });
});

}  // namespace
}  // namespace bench
