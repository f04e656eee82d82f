// rsqrt — y = 1/√x, dy/dx = −y³/2
#pragma once

#include <cmath>
#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct Rsqrt {
  static constexpr std::string_view name = "rsqrt";
  static constexpr bool from_output = true;
  template <class V>
  FRAMEGRAD_INLINE static V value(const V& x) {
    using std::sqrt;
    return V(1) / sqrt(x);
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope(const V& y) {
    return V(-0.5f) * y * y * y;
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
