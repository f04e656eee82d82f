// sqrt — y = √x, dy/dx = 1 / (2y)
#pragma once

#include <cmath>
#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct Sqrt {
  static constexpr std::string_view name = "sqrt";
  static constexpr bool from_output = true;
  template <class V>
  FRAMEGRAD_INLINE static V value(const V& x) {
    using std::sqrt;
    return sqrt(x);
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope(const V& y) {
    return V(0.5f) / y;
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
