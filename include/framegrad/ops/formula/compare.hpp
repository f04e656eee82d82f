// compare — whether a number is equal to another, less, greater, …; of a NaN nothing holds but not_equal
#pragma once

#include <string_view>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI::formula {

struct Equal {
  static constexpr std::string_view name = "equal";
  template <class V>
  FRAMEGRAD_INLINE static auto holds(const V& a, const V& b) { return a == b; }
};
struct NotEqual {
  static constexpr std::string_view name = "not_equal";
  template <class V>
  FRAMEGRAD_INLINE static auto holds(const V& a, const V& b) { return a != b; }
};
struct Less {
  static constexpr std::string_view name = "less";
  template <class V>
  FRAMEGRAD_INLINE static auto holds(const V& a, const V& b) { return a < b; }
};
struct LessEqual {
  static constexpr std::string_view name = "less_equal";
  template <class V>
  FRAMEGRAD_INLINE static auto holds(const V& a, const V& b) { return a <= b; }
};
struct Greater {
  static constexpr std::string_view name = "greater";
  template <class V>
  FRAMEGRAD_INLINE static auto holds(const V& a, const V& b) { return a > b; }
};
struct GreaterEqual {
  static constexpr std::string_view name = "greater_equal";
  template <class V>
  FRAMEGRAD_INLINE static auto holds(const V& a, const V& b) { return a >= b; }
};

}  // namespace fg::inline FRAMEGRAD_ABI::formula
