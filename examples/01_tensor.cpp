// Tensors: making them, looking at parts of them, and computing with them.
#include <framegrad/core/print.hpp>
#include <framegrad/framegrad.hpp>

#include <iostream>

using namespace fg;

int main() {
  // The rank is part of the type: a matrix is a Tensor<float, 2>.
  const auto x = tensor<float, 2>({2, 3}, {1, 2, 3, 4, 5, 6});
  const auto [rows, columns] = x.shape();
  std::cout << rows << " x " << columns << "\n" << x << "\n";

  // Views share memory: a part, a permutation, an axis split in two.
  const auto last_column = slice(x, 1, 2, 3);
  last_column(0, 0) = 30;
  std::cout << "after a write through the view: " << x(0, 2) << "\n";
  const auto film = reshape(arange<float>(24), {2, 3, 4});                       // [frames, height, width]
  const auto turned = rearrange<"t h w -> w (t h)">(film);                       // [4, 6]
  std::cout << "turned is " << turned.sizes().str() << ", its first row begins " << turned(0, 0) << " " << turned(0, 1) << "\n";

  // Shapes broadcast as NumPy's do, and a mistake says what came and what is needed.
  const auto y = exp(x * 0.1) + tensor<float, 1>({3}, {10, 20, 30});
  std::cout << y << "\nsum over columns: " << sum<1>(y) << "\n";
  try {
    matmul(x, x);
  } catch (const ShapeError& e) {
    std::cout << e.what() << "\n";
  }

  // Memory of yours becomes a tensor without a copy.
  float samples[] = {1, 4, 9, 16};
  std::cout << sqrt(wrap<float, 1>(samples, {4})) << "\n";
}
