// maximum — y = max(a, b), with broadcasting; the gradient is halved between equals
#pragma once

#include <cmath>
#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct Maximum {
  static constexpr std::string_view name = "maximum";
  template <class V>
  FRAMEGRAD_INLINE static V value(const V& a, const V& b) {
    return select(a != a, a, max(a, b));  // a NaN on either side stays one
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope_a([[maybe_unused]] const V& a, [[maybe_unused]] const V& b) {
    return select(a > b, V(1), select(a == b, V(0.5f), V(0)));
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope_b([[maybe_unused]] const V& a, [[maybe_unused]] const V& b) {
    return select(b > a, V(1), select(a == b, V(0.5f), V(0)));
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
