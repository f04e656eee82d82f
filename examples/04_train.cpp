// Training: a small network learns which of two spirals a point lies on.
#include <framegrad/framegrad.hpp>

#include <cmath>
#include <cstdio>

using namespace fg;

int main() {
  constexpr Index kPoints = 400;
  auto points = empty<float, 2>({kPoints, 2});
  auto labels = empty<std::int64_t, 1>({kPoints});
  for (Index i = 0; i < kPoints; ++i) {
    const double turn = double(i / 2) / 200, angle = 9 * turn + (i % 2) * 3.14159265, radius = 0.15 + turn;
    points(i, 0) = float(radius * std::cos(angle)), points(i, 1) = float(radius * std::sin(angle));
    labels(i) = i % 2;
  }

  Params params(1);
  const Linear<float> in(2, 64, params / "in"), middle(64, 64, params / "middle"), out(64, 2, params / "out");
  const auto network = [&](const Tensor<float, 2>& x) { return out(middle.call<Silu>(in.call<Silu>(x))); };

  AdamW optimizer(params, {.weight_decay = 1e-3});
  const LrSchedule lr{LrSchedule::Curve::cosine, 1e-2, 1e-4, 20, 400};
  for (Index step = 0; step < 420; ++step) {
    const auto loss = cross_entropy(network(points), labels);
    params.zero_grad();
    backward(loss);
    const double norm = grad_norm(params);
    optimizer.step(lr(step), clip_factor(norm, 1.0));
    if (step % 100 == 0) std::printf("step %3ld  loss %.3f\n", long(step), loss.item());
  }

  const NoGrad off;
  const auto logits = network(points);
  Index right = 0;
  for (Index i = 0; i < kPoints; ++i) right += (logits(i, 1) > logits(i, 0)) == (labels(i) == 1);
  std::printf("%ld of %ld points right\n", long(right), long(kPoints));
  return right > kPoints * 95 / 100 ? 0 : 1;
}
