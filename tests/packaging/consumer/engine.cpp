// The engine alone: a gradient.
#include <framegrad/framegrad.hpp>

int main() {
  const auto x = fg::variable(fg::full<float, 2>({2, 3}, 2.0f));
  fg::backward(fg::sum(x * x));
  const fg::Tensor<float, 2> dx(fg::grad(x));
  return dx(1, 2) == 4.0f ? 0 : 1;
}
