// mul — y = a·b, with broadcasting
#pragma once

#include <cmath>
#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct Mul {
  static constexpr std::string_view name = "mul";
  template <class V>
  FRAMEGRAD_INLINE static V value(const V& a, const V& b) {
    return a * b;
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope_a([[maybe_unused]] const V& a, [[maybe_unused]] const V& b) {
    return b;
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope_b([[maybe_unused]] const V& a, [[maybe_unused]] const V& b) {
    return a;
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
