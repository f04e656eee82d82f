// The deterministic fill of specs H.2: values from a key, the same in every language.
#pragma once

#include <framegrad/nn/params.hpp>

namespace fg::test {

/// Value i of a key, in [−1, 1).
inline double fill_value(std::uint64_t hash, std::uint64_t i) {
  std::uint64_t z = hash + (i + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return double(z >> 40) / 0x1p24 * 2 - 1;
}

inline void fill(const AnyTensor& t, std::string_view key, double amplitude = 1, double offset = 0) {
  const std::uint64_t h = hash_name(key);
  visit_dtype(t.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for (Index i = 0; i < t.count(); ++i) static_cast<T*>(t.raw())[i] = T(float(offset + amplitude * fill_value(h, std::uint64_t(i))));
  });
}

template <class T, int R>
Tensor<T, R> filled(std::string_view key, const Index (&sizes)[R]) {
  auto t = empty<T, R>(sizes);
  fill(t, key);
  return t;
}

/// Amplitudes by the kind of tensor, as the reference values were made.
inline void fill_params(const Params& p) {
  for (const auto& s : p.slots()) {
    if (!s->is_saved) continue;
    const Shape& n = s->value.sizes();
    const bool norm = n.rank() == 1 && s->name.find("norm") != std::string::npos && s->name.ends_with(".weight");
    const double amplitude = norm ? 0.1 : s->name.ends_with("scale_shift_table") ? 0.2 : n.rank() == 1 ? 0.1 : 1 / std::sqrt(double(n.count()) / double(n[0]));
    fill(s->value, s->name, amplitude, norm ? 1 : 0);
  }
}

}  // namespace fg::test
