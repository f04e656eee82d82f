// add — y = a + b, with broadcasting
#pragma once

#include <cmath>
#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct Add {
  static constexpr std::string_view name = "add";
  static constexpr bool linear = true;  // the slopes are constants
  template <bool ForA>
  static constexpr bool passes = true;     // this slope is 1
  template <class V>
  FRAMEGRAD_INLINE static V value(const V& a, const V& b) {
    return a + b;
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope_a([[maybe_unused]] const V& a, [[maybe_unused]] const V& b) {
    return V(1);
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope_b([[maybe_unused]] const V& a, [[maybe_unused]] const V& b) {
    return V(1);
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
