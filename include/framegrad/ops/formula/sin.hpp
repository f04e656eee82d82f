// sin — dy/dx = cos x
#pragma once

#include <cmath>
#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct Sin {
  static constexpr std::string_view name = "sin";
  template <class V>
  FRAMEGRAD_INLINE static V value(const V& x) {
    using std::sin;
    return sin(x);
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope(const V& x) {
    using std::cos;
    return cos(x);
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
