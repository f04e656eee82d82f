// Gradients: variables, backward, and what to do when you don't want them.
#include <framegrad/core/print.hpp>
#include <framegrad/framegrad.hpp>

#include <iostream>

using namespace fg;

int main() {
  // f(a, b) = Σ a²·b: ∂f/∂a = 2ab, ∂f/∂b = a²
  const auto a = variable(tensor<double, 1>({3}, {1, 2, 3}));
  const auto b = variable(tensor<double, 1>({3}, {4, 5, 6}));
  backward(sum(a * a * b));
  std::cout << "df/da = " << grad(a) << "\ndf/db = " << grad(b) << "\n";

  // backward adds; grad(y, {x}) returns and touches nothing. A view's gradient lands in its part of the base.
  const auto first_two = slice(a, 0, 0, 2);
  const auto d = grad(sum(exp(first_two)), {a});
  std::cout << "d sum(exp(a[:2]))/da = " << d[0].as<double, 1>() << "\n";

  // Under NoGrad nothing is recorded, and nothing is kept for backward.
  {
    const NoGrad off;
    std::cout << "recorded under NoGrad: " << std::boolalpha << (a * b).requires_grad() << "\n";
  }

  // checkpoint forgets what a function computed inside, and computes it again in backward: less memory, the same gradient.
  zero_grad(a);
  const auto f = [](const Tensor<double, 1>& x) { return tanh(x * x) * 3.0; };
  backward(sum(checkpoint(f, a)));
  std::cout << "through checkpoint: " << grad(a) << "\n";

  // A gradient is never dropped silently: the second backward would need what the first has freed.
  const auto y = sum(a * a);
  backward(y);
  try {
    backward(y);
  } catch (const GradError& e) {
    std::cout << e.what() << "\n";
  }
}
