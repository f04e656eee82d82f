// Tensors as text, in NumPy's brackets:
//
//   float [2, 3]
//   [[ 1.0000,  2.5000, -3.0000],
//    [ 4.0000,  5.0000,  6.0000]]
//
// One format for all values shown: whole numbers "1.", else so many decimals, else exponents where magnitudes lie far apart.
// Above `threshold` elements each axis shows `edge` of them at either end.
#pragma once

#include <cmath>
#include <cstdio>
#include <ostream>

#include <framegrad/core/tensor.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct PrintOptions {
  int precision = 4;
  Index threshold = 1000;
  Index edge = 3;
};

namespace detail {

class TensorPrinter {
 public:
  TensorPrinter(const AnyTensor& t, const PrintOptions& options) : t_(on_host(t)), o_(options), shortened_(t.count() > options.threshold) {}

  std::string str() {
    visit(0, t_.geometry().offset, [&](double v) { consider(v); });
    choose();
    walk(0, t_.geometry().offset, [&](Index at) { width_ = std::max(width_, item(at).size()); });
    return bracketed(0, t_.geometry().offset);
  }

 private:
  bool skips(int axis, Index i) const { return shortened_ && i == o_.edge && t_.sizes()[axis] > 2 * o_.edge; }

  template <class F>
  void walk(int axis, Index at, const F& f) const {
    if (axis == t_.rank()) return f(at);
    const Index n = t_.sizes()[axis];
    for (Index i = 0; i < n; ++i) {
      if (skips(axis, i)) i = n - o_.edge;
      walk(axis + 1, at + i * t_.strides()[axis], f);
    }
  }
  template <class F>
  void visit(int axis, Index at, const F& f) const {
    if (is_floating_dtype(t_.dtype())) walk(axis, at, [&](Index i) { f(number(i)); });
  }

  const void* address(Index at) const { return static_cast<const char*>(t_.storage()->data()) + at * item_bytes(t_.dtype()); }
  double number(Index at) const {
    return visit_dtype(t_.dtype(), [&]<class T>(T) { return double(*static_cast<const T*>(address(at))); });
  }
  void consider(double v) {
    if (!std::isfinite(v)) return;
    whole_ = whole_ && v == std::nearbyint(v);
    const double a = std::abs(v);
    largest_ = std::max(largest_, a);
    if (a > 0) smallest_ = std::min(smallest_, a);
  }
  void choose() {
    const bool far_apart = largest_ > 0 && (largest_ >= 1e8 || (!whole_ && (smallest_ < 1e-4 || largest_ / smallest_ > 1e3 * std::pow(10, o_.precision - 4))));
    format_ = far_apart ? 'e' : whole_ ? 'w' : 'f';
  }
  std::string item(Index at) const {
    if (t_.dtype() == Dtype::boolean) return *static_cast<const bool*>(address(at)) ? "true" : "false";
    if (!is_floating_dtype(t_.dtype()))
      return visit_dtype(t_.dtype(), [&]<class T>(T) {
        if constexpr (std::is_integral_v<T>) return std::to_string(*static_cast<const T*>(address(at)));
        else return std::string();
      });
    const double v = number(at);
    if (std::isnan(v)) return "nan";
    if (std::isinf(v)) return v < 0 ? "-inf" : "inf";
    char s[400];  // the largest double has 309 digits before the point
    std::snprintf(s, sizeof s, format_ == 'e' ? "%.*e" : "%.*f", format_ == 'w' ? 0 : o_.precision, v);
    return format_ == 'w' ? std::string(s) + "." : s;
  }

  std::string bracketed(int axis, Index at) const {
    if (axis == t_.rank()) {
      const std::string s = item(at);
      return std::string(t_.rank() > 0 ? width_ - s.size() : 0, ' ') + s;
    }
    const Index n = t_.sizes()[axis];
    const bool innermost = axis == t_.rank() - 1;
    const std::string between = innermost ? ", " : "," + std::string(std::size_t(t_.rank() - 1 - axis), '\n') + std::string(std::size_t(axis + 1), ' ');
    std::string s = "[";
    for (Index i = 0; i < n; ++i) {
      if (i > 0) s += between;
      if (skips(axis, i)) {
        s += "..." + between;
        i = n - o_.edge;
      }
      s += bracketed(axis + 1, at + i * t_.strides()[axis]);
    }
    return s + "]";
  }

  AnyTensor t_;
  PrintOptions o_;
  bool shortened_;
  bool whole_ = true;
  double largest_ = 0, smallest_ = INFINITY;
  char format_ = 'f';
  std::size_t width_ = 0;
};

}  // namespace detail

/// Type and sizes on one line, then the values.
inline std::string to_string(const AnyTensor& t, const PrintOptions& options = {}) {
  if (!t.defined()) return "undefined tensor";
  std::string head = text(t.dtype(), " ", t.sizes());
  if (t.allocated() && t.device() != kCpu) return head + " on " + t.device().str();
  if (!t.allocated()) return head + " without memory";
  return head + "\n" + detail::TensorPrinter(t, options).str();
}

inline std::ostream& operator<<(std::ostream& out, const AnyTensor& t) { return out << to_string(t); }

}  // namespace fg::inline FRAMEGRAD_ABI
