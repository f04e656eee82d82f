// Small matrices for the tests of the graph, their values, and what a refusal says.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include <framegrad/op.hpp>

namespace fg {

using Matrix = Tensor<double, 2>;
using Number = Tensor<double, 0>;

inline Matrix numbers(Index rows, Index columns, double first = 0.3) {
  const auto x = empty<double>({rows, columns});
  for (Index i = 0; i < x.count(); ++i) x.data()[i] = std::sin(first + 1.7 * double(i)) + 0.1;
  return x;
}
inline std::vector<double> values(const AnyTensor& t) {
  const AnyTensor wide = converted(row_major_copy(t.detach()), Dtype::f64);
  const auto* p = static_cast<const double*>(wide.raw());
  return {p, p + wide.count()};
}
template <class E, class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "nothing was thrown";
}

}  // namespace fg
