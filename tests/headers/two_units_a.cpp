// Every header, here and in two_units_b.cpp, linked into one program: nothing is defined twice, and both see one engine.
#include <framegrad/framegrad.hpp>

#include "every_header.hpp"

const fg::Allocator* allocator_of_b();
fg::Tensor<float, 1> made_in_b(fg::Index n);

int main() {
  if (&fg::Allocator::instance() != allocator_of_b()) return 1;
  const auto x = made_in_b(3);
  return x.size(0) == 3 && x(2) == 2 ? 0 : 1;
}
