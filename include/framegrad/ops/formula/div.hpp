// div — y = a / b, with broadcasting; ∂y/∂b = −a/b²
#pragma once

#include <cmath>
#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct Div {
  static constexpr std::string_view name = "div";
  template <class V>
  FRAMEGRAD_INLINE static V value(const V& a, const V& b) {
    return a / b;
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope_a([[maybe_unused]] const V& a, [[maybe_unused]] const V& b) {
    return V(1) / b;
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope_b([[maybe_unused]] const V& a, [[maybe_unused]] const V& b) {
    return -a / (b * b);
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
