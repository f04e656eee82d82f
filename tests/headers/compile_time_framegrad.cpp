// Twenty lines of framegrad, for the compile time: products, expressions, attention weights, a gradient.
#include <framegrad/framegrad.hpp>

#include <iostream>

int main() {
  const auto x = fg::full<float, 2>({32, 8}, 0.5f);
  const auto w = fg::variable(fg::full<float, 2>({8, 8}, 0.1f)), bias = fg::variable(fg::zeros<float, 2>({1, 8}));
  const auto hidden = fg::tanh(fg::matmul(x, w) + bias);

  const auto scores = fg::matmul(hidden, fg::rearrange<"n d -> d n">(hidden)) / 3.0f;
  const auto weights = fg::softmax<-1>(scores);

  const auto target = fg::matmul(weights, x);
  const auto loss = fg::mse(hidden, target);
  fg::backward(loss);
  std::cout << loss.item() << '\n' << fg::grad(w) << '\n';
}
