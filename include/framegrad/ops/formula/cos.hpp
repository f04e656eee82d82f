// cos — dy/dx = −sin x
#pragma once

#include <cmath>
#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct Cos {
  static constexpr std::string_view name = "cos";
  template <class V>
  FRAMEGRAD_INLINE static V value(const V& x) {
    using std::cos;
    return cos(x);
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope(const V& x) {
    using std::sin;
    return -sin(x);
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
