// AdamW over 40 M parameters: reads weight, gradient and two moments, writes all but the gradient.
#include <framegrad/optim/adamw.hpp>

#include "row.hpp"

namespace bench {
namespace {

const Register registered([] {
  constexpr Index kTensors = 30, kSide = 1152;
  add({"adamw", "30x1152x1152", fg::Dtype::f32, Bound::memory, 28.0 * double(kTensors * kSide * kSide), []() -> Work {
         fg::Params params(0, device());
         for (Index i = 0; i < kTensors; ++i) params.tensor<float, 2>(std::to_string(i), {kSide, kSide}, fg::init::constant(0.01));
         for (const auto& s : params.slots()) fg::backward(s->value, random<float, 2>({kSide, kSide}));  // the gradient of a variable to itself: what is given
         const auto optimizer = std::make_shared<fg::AdamW>(params, fg::AdamWOptions{.weight_decay = 0.01});
         return {[params, optimizer] { optimizer->step(1e-4); }};
       }});
});

}  // namespace
}  // namespace bench
