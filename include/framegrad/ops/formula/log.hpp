// log — y = ln x, dy/dx = 1/x
#pragma once

#include <cmath>
#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct Log {
  static constexpr std::string_view name = "log";
  template <class V>
  FRAMEGRAD_INLINE static V value(const V& x) {
    using std::log;
    return log(x);
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope(const V& x) {
    return V(1) / x;
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
