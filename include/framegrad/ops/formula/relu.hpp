// relu — y = max(x, 0), dy/dx = [x > 0]
#pragma once

#include <cmath>
#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct Relu {
  static constexpr std::string_view name = "relu";
  template <class V>
  FRAMEGRAD_INLINE static V value(const V& x) {
    return max(V(0), x);  // in this order a NaN stays one
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope(const V& x) {
    return select(x > V(0), V(1), V(0));
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
