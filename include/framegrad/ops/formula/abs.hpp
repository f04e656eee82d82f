// abs — y = |x|, dy/dx = sign x, 0 at 0
#pragma once

#include <cmath>
#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct Abs {
  static constexpr std::string_view name = "abs";
  template <class V>
  FRAMEGRAD_INLINE static V value(const V& x) {
    using std::abs;
    return abs(x);
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope(const V& x) {
    return select(x > V(0), V(1), select(x < V(0), V(-1), V(0)));
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
