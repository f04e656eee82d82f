// sigmoid — y = 1 / (1 + e⁻ˣ), dy/dx = y(1 − y)
#pragma once

#include <cmath>
#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct Sigmoid {
  static constexpr std::string_view name = "sigmoid";
  static constexpr bool from_output = true;
  template <class V>
  FRAMEGRAD_INLINE static V value(const V& x) {
    using std::exp;
    return V(1) / (V(1) + exp(-x));
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope(const V& y) {
    return y * (V(1) - y);
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
