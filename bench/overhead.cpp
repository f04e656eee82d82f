// Where nearly all is overhead: a step of training a network of ten thousand weights, and one number to which 1 is added a thousand times, so that
// milliseconds of the row are microseconds of an op.
#include <framegrad/nn/linear.hpp>
#include <framegrad/ops/affine.hpp>
#include <framegrad/ops/gelu_tanh.hpp>
#include <framegrad/ops/mse.hpp>
#include <framegrad/optim/adamw.hpp>

#include "row.hpp"

namespace bench {
namespace {

struct SmallNetwork {
  explicit SmallNetwork(const fg::Params& p) : enter(32, 80, p / "enter"), middle(80, 80, p / "middle"), leave(80, 16, p / "leave") {}
  fg::Tensor<float, 2> operator()(const fg::Tensor<float, 2>& x) const { return leave(middle.call<fg::GeluTanh>(enter.call<fg::GeluTanh>(x))); }
  fg::Linear<float> enter, middle, leave;
};

fg::Tensor<float, 1> sum_of_ones(fg::Tensor<float, 1> y) {
  for (int i = 0; i < 1000; ++i) y = y + 1;
  return y;
}

const Register registered([] {
  constexpr Index kBatch = 64;
  const Index weights = parameters_of<SmallNetwork>();
  add({"mlp training step", "64x32 hidden 80 80 out 16", fg::Dtype::f32, Bound::compute, 6.0 * double(kBatch) * double(weights),
       []() -> Work {
         const fg::Params params(0, device());
         const auto network = std::make_shared<SmallNetwork>(params);
         const auto optimizer = std::make_shared<fg::AdamW>(params, fg::AdamWOptions{.weight_decay = 0.01});
         const auto x = random<float, 2>({kBatch, 32}), target = random<float, 2>({kBatch, 16});
         return {[=] {
           params.zero_grad();
           fg::backward(fg::mse((*network)(x), target));
           optimizer->step(1e-4);
         }};
       },
       weights});
  const auto variable = [] { return fg::variable(fg::full<float, 1>({1}, 1.0f, device())); };
  add({"add one, recorded", "1000 times 1", fg::Dtype::f32, Bound::compute, 1000, [=]() -> Work { return {[x = variable()] { sum_of_ones(x); }}; }});
  add({"add one, recorded and gradient", "1000 times 1", fg::Dtype::f32, Bound::compute, 2000, [=]() -> Work { return {[x = variable()] { fg::grad(sum_of_ones(x), {x}); }}; }});
});

}  // namespace
}  // namespace bench
