// silu — y = x·σ(x), dy/dx = σ(1 + x(1 − σ)); also called swish (arXiv:1710.05941)
#pragma once

#include <cmath>
#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct Silu {
  static constexpr std::string_view name = "silu";
  template <class V>
  FRAMEGRAD_INLINE static V value(const V& x) {
    using std::exp;
    return x / (V(1) + exp(-x));
  }
  template <class V>
  FRAMEGRAD_INLINE static V slope(const V& x) {
    using std::exp;
    const V s = V(1) / (V(1) + exp(-x));
    return s * (V(1) + x * (V(1) - s));
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
