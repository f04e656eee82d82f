// affine — y = a·x + b for numbers a and b: what `2 * x + 1` becomes
#pragma once

#include <cmath>
#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct Affine {
  static constexpr std::string_view name = "affine";
  double a = 1, b = 0;
  template <class V>
  FRAMEGRAD_INLINE V value(const V& x) const {
    using A = typename V::Scalar;
    return V(A(a)) * x + V(A(b));
  }
  template <class V>
  FRAMEGRAD_INLINE V slope(const V&) const { return V(typename V::Scalar(a)); }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
