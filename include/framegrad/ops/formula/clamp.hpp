// clamp — y = min(max(x, low), high), dy/dx = [low ≤ x ≤ high]
#pragma once

#include <cmath>
#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct Clamp {
  static constexpr std::string_view name = "clamp";
  double low, high;
  template <class V>
  FRAMEGRAD_INLINE V value(const V& x) const {
    using A = typename V::Scalar;
    return min(V(A(high)), max(V(A(low)), x));  // in this order a NaN stays one
  }
  template <class V>
  FRAMEGRAD_INLINE V slope(const V& x) const {
    using A = typename V::Scalar;
    return select((x >= V(A(low))) & (x <= V(A(high))), V(1), V(0));
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
