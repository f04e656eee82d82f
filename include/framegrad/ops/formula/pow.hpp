// pow — y = xᵖ for a number p, dy/dx = p·xᵖ⁻¹. Whole p by multiplication, so negative x is fine; else x must not be negative
#pragma once

#include <cmath>
#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct Pow {
  static constexpr std::string_view name = "pow";
  double p = 1;
  template <class V>
  FRAMEGRAD_INLINE V value(const V& x) const { return power(x, p); }
  template <class V>
  FRAMEGRAD_INLINE V slope(const V& x) const { return p == 0 ? V(0) : V(typename V::Scalar(p)) * power(x, p - 1); }

 private:
  template <class V>
  FRAMEGRAD_INLINE static V power(const V& x, double p) {
    using std::exp, std::log;
    const int whole = int(p);
    if (whole != p || whole > 64 || whole < -64) return exp(V(typename V::Scalar(p)) * log(x));
    V y(1), square = x;
    for (int n = whole < 0 ? -whole : whole; n; n /= 2) {
      if (n % 2) y = y * square;
      square = square * square;
    }
    return whole < 0 ? V(1) / y : y;
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
