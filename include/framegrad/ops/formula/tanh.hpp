// tanh — dy/dx = 1 − y²
#pragma once

#include <cmath>
#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct Tanh {
  static constexpr std::string_view name = "tanh";
  static constexpr bool from_output = true;
  template <class V>
  FRAMEGRAD_INLINE static V value(const V& x) {
    using std::tanh;
    return tanh(x);
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope(const V& y) {
    return V(1) - y * y;
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
