// Scalar types: what a tensor can hold, bf16 and half, and the type that sums are taken in.
#pragma once

#include <bit>
#include <cstring>
#include <limits>
#include <string_view>
#include <type_traits>

#include <framegrad/core/error.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// bfloat16: the upper half of an f32. Conversion rounds to nearest even; NaN stays NaN.
struct bf16 {
  std::uint16_t bits = 0;
  bf16() = default;
  constexpr bf16(float v) {
    const auto u = std::bit_cast<std::uint32_t>(v);
    bits = (u & 0x7fffffffu) > 0x7f800000u ? std::uint16_t((u >> 16) | 0x40u)
                                            : std::uint16_t((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  constexpr bf16(double v) : bf16(float(v)) {}
  constexpr bf16(int v) : bf16(float(v)) {}
  constexpr operator float() const { return std::bit_cast<float>(std::uint32_t(bits) << 16); }
};

/// IEEE 754 binary16. Conversion rounds to nearest even, subnormals included.
struct half {
  std::uint16_t bits = 0;
  half() = default;
  constexpr half(float v) {
    const auto u = std::bit_cast<std::uint32_t>(v);
    const auto sign = std::uint16_t((u >> 16) & 0x8000u);
    const std::uint32_t a = u & 0x7fffffffu;
    if (a > 0x7f800000u) {
      bits = std::uint16_t(sign | 0x7e00u);
    } else if (a >= 0x477ff000u) {  // rounds to 65536 or more
      bits = std::uint16_t(sign | 0x7c00u);
    } else if (a < 0x38800000u) {   // below 2^-14: adding ½ aligns the subnormal's unit to the f32's last bit
      const float r = std::bit_cast<float>(a) + 0.5f;
      bits = std::uint16_t(sign | (std::bit_cast<std::uint32_t>(r) - 0x3f000000u));
    } else {
      bits = std::uint16_t(sign | ((a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13));
    }
  }
  constexpr half(double v) : half(float(v)) {}
  constexpr half(int v) : half(float(v)) {}
  constexpr operator float() const {
    const std::uint32_t sign = std::uint32_t(bits & 0x8000u) << 16, e = (bits >> 10) & 31u, m = bits & 0x3ffu;
    if (e == 31) return std::bit_cast<float>(sign | 0x7f800000u | (m << 13));
    if (e == 0) {
      const float v = float(m) * 0x1p-24f;
      return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(v));
    }
    return std::bit_cast<float>(sign | ((e + 112u) << 23) | (m << 13));
  }
};

enum class Dtype : std::uint8_t { f32, f64, bf16, f16, i32, i64, u8, boolean };

namespace detail {
template <class T> struct DtypeOf;
template <> struct DtypeOf<float> { static constexpr Dtype value = Dtype::f32; };
template <> struct DtypeOf<double> { static constexpr Dtype value = Dtype::f64; };
template <> struct DtypeOf<bf16> { static constexpr Dtype value = Dtype::bf16; };
template <> struct DtypeOf<half> { static constexpr Dtype value = Dtype::f16; };
template <> struct DtypeOf<std::int32_t> { static constexpr Dtype value = Dtype::i32; };
template <> struct DtypeOf<std::int64_t> { static constexpr Dtype value = Dtype::i64; };
template <> struct DtypeOf<std::uint8_t> { static constexpr Dtype value = Dtype::u8; };
template <> struct DtypeOf<bool> { static constexpr Dtype value = Dtype::boolean; };
template <class T> struct AccumOf { using type = T; };
template <> struct AccumOf<bf16> { using type = float; };
template <> struct AccumOf<half> { using type = float; };
}  // namespace detail

template <class T> inline constexpr Dtype dtype_of = detail::DtypeOf<T>::value;

/// The type that sums over T are taken in: f32 for bf16 and half, T itself otherwise.
template <class T> using accum_t = typename detail::AccumOf<T>::type;

template <class T> inline constexpr bool is_floating = std::is_same_v<T, float> || std::is_same_v<T, double> ||
                                                       std::is_same_v<T, bf16> || std::is_same_v<T, half>;

/// Scalar types that the GPU's kernels are made for.
template <class T> concept OnDevice = std::is_same_v<T, float> || std::is_same_v<T, bf16> || std::is_same_v<T, half>;

constexpr bool is_floating_dtype(Dtype d) { return d <= Dtype::f16; }

constexpr Index item_bytes(Dtype d) {
  switch (d) {
    case Dtype::f64: case Dtype::i64: return 8;
    case Dtype::f32: case Dtype::i32: return 4;
    case Dtype::bf16: case Dtype::f16: return 2;
    default: return 1;
  }
}

constexpr std::string_view name_of(Dtype d) {
  constexpr std::string_view names[] = {"float", "double", "bf16", "half", "int32", "int64", "uint8", "bool"};
  return names[int(d)];
}

/// Calls f(T{}) with the scalar type that `d` names.
template <class F>
decltype(auto) visit_dtype(Dtype d, F&& f) {
  switch (d) {
    case Dtype::f32: return f(float{});
    case Dtype::f64: return f(double{});
    case Dtype::bf16: return f(bf16{});
    case Dtype::f16: return f(half{});
    case Dtype::i32: return f(std::int32_t{});
    case Dtype::i64: return f(std::int64_t{});
    case Dtype::u8: return f(std::uint8_t{});
    default: return f(bool{});
  }
}

}  // namespace fg::inline FRAMEGRAD_ABI

namespace std {
template <> struct numeric_limits<fg::bf16> : numeric_limits<float> {
  static constexpr fg::bf16 epsilon() { return fg::bf16(0x1p-7f); }
  static constexpr int digits = 8;
};
template <> struct numeric_limits<fg::half> : numeric_limits<float> {
  static constexpr fg::half epsilon() { return fg::half(0x1p-10f); }
  static constexpr fg::half max() { return fg::half(65504.0f); }
  static constexpr int digits = 11;
};
}  // namespace std
