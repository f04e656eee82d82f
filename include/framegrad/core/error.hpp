// Exceptions, one type for each kind of mistake. A message names the op or the key, what came and what is needed.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct Error : std::runtime_error { using std::runtime_error::runtime_error; };
struct ShapeError : Error { using Error::Error; };
struct DtypeError : Error { using Error::Error; };
struct DeviceError : Error { using Error::Error; };
struct RecordingError : DeviceError { using DeviceError::DeviceError; };  // what was queued can't be launched again (core/recording.hpp)
struct MissingKernel : Error { using Error::Error; };   // an op has no code for this device or direction
struct GradError : Error { using Error::Error; };       // the graph was used in a way it can't serve
struct FileError : Error { using Error::Error; };       // a file is unreadable, malformed or could not be written
struct ConfigError : Error { using Error::Error; };     // a setting that makes no sense
struct OutOfMemory : Error { using Error::Error; };

namespace detail {
inline void append(std::string& s, std::string_view v) { s += v; }
inline void append(std::string& s, const char* v) { s += v; }
inline void append(std::string& s, const std::string& v) { s += v; }
inline void append(std::string& s, char v) { s += v; }
inline void append(std::string& s, bool v) { s += v ? "true" : "false"; }
template <class N> requires std::is_arithmetic_v<N>
void append(std::string& s, N v) { s += std::to_string(v); }
template <class V> requires requires(const V& v) { v.str(); }
void append(std::string& s, const V& v) { s += v.str(); }
template <class V> requires requires(V v) { name_of(v); }  // an enum of ours
void append(std::string& s, V v) { s += name_of(v); }
}  // namespace detail

/// The parts one after the other, as text.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::string s;
  (detail::append(s, parts), ...);
  return s;
}

/// Throws E with "name: parts…" unless `good`.
template <class E, class... Parts>
void check(bool good, std::string_view name, const Parts&... parts) {
  if (!good) [[unlikely]] throw E(text(name, ": ", parts...));
}
template <class... Parts>
void check_shape(bool good, std::string_view name, const Parts&... parts) { check<ShapeError>(good, name, parts...); }
template <class... Parts>
void check_dtype(bool good, std::string_view name, const Parts&... parts) { check<DtypeError>(good, name, parts...); }

}  // namespace fg::inline FRAMEGRAD_ABI
