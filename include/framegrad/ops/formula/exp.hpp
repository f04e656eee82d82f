// exp — y = eˣ, dy/dx = y
#pragma once

#include <cmath>
#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct Exp {
  static constexpr std::string_view name = "exp";
  static constexpr bool from_output = true;
  template <class V>
  FRAMEGRAD_INLINE static V value(const V& x) {
    using std::exp;
    return exp(x);
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope(const V& y) {
    return y;
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
