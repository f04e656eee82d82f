// One case at one set of shapes: its inputs in every place and type, its outputs and gradients as plain numbers.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "op_case.hpp"

namespace fg::test {

using Values = std::vector<double>;  // of a tensor, in logical order

/// Where an input lies in memory: dense, dense with its axes reversed, or as a part of a larger tensor with rotated axes.
enum class Place { plain, permuted, sliced };
inline constexpr Place kPlaces[] = {Place::plain, Place::permuted, Place::sliced};
inline const char* name_of(Place p) { return p == Place::plain ? "plain" : p == Place::permuted ? "permuted" : "sliced"; }

inline Shape base_sizes(const Shape& sizes, Place place) {
  Shape s = sizes;
  if (place == Place::permuted) std::reverse(s.begin(), s.end());
  if (place == Place::sliced && s.rank() > 0) {
    for (int i = 1; i < s.rank(); ++i) s[i] += 2;
    s[0] = 2 * s[0] + 1;
    std::rotate(s.begin(), s.begin() + 1, s.end());
  }
  return s;
}
inline AnyTensor view_of(const AnyTensor& base, const Shape& sizes, Place place) {
  if (place == Place::plain || sizes.rank() == 0) return base;
  const int rank = sizes.rank();
  std::array<int, kMaxRank> axes{};
  for (int i = 0; i < rank; ++i) axes[std::size_t(i)] = place == Place::permuted ? rank - 1 - i : (i + rank - 1) % rank;
  AnyTensor t = base.permute(axes);
  if (place == Place::permuted) return t;
  t = t.slice(0, 1, std::max<Index>(1, 2 * sizes[0]), 2);
  for (int i = 1; i < rank; ++i) t = t.slice(i, 1, 1 + sizes[i]);
  return t;
}

inline Values values_of(const AnyTensor& t) {
  const AnyTensor plain = AnyTensor::empty(Dtype::f64, t.sizes());
  copy_into(plain, t.detach());
  const auto* p = static_cast<const double*>(plain.raw());
  return Values(p, p + plain.count());
}
inline AnyTensor tensor_of(const Values& v, const Shape& sizes, Dtype dtype) {
  const AnyTensor wide = AnyTensor::empty(Dtype::f64, sizes);
  std::copy(v.begin(), v.end(), static_cast<double*>(wide.raw()));
  return converted(wide, dtype);
}
inline double largest(const Values& v) {
  double m = 0;
  for (const double x : v) m = std::max(m, std::abs(x));
  return m;
}

/// Fills the allocator's free blocks with NaN, so that memory that an op forgot to write is seen.
inline void poison() {
  std::vector<std::shared_ptr<Storage>> blocks;
  for (Index bytes = 64; bytes <= 8192; bytes += bytes <= 1024 ? 64 : 512)
    for (int i = 0; i < 6; ++i) {
      blocks.push_back(std::make_shared<Storage>(bytes, kCpu));
      std::memset(blocks.back()->data(), 0xff, std::size_t(bytes));
    }
}

struct Result {
  std::vector<Values> outputs, gradients;  // a gradient is empty where none was asked for or can be
  std::vector<Shape> output_sizes;
};

/// One case at one set of shapes.
class Run {
 public:
  Run(const OpCase& c, const Shapes& shapes) : case_(c), shapes_(shapes) {
    const auto dtypes = c.dtypes(c.types.front(), shapes.size());
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      inputs_.emplace_back(std::size_t(count(shapes[i])));
      for (std::size_t j = 0; j < inputs_[i].size(); ++j) inputs_[i][j] = c.input(int(i), Index(j), shapes);
      wanted_.push_back(!(shapes[i] == kAbsent) && is_floating_dtype(dtypes[i]) && c.differentiable(int(i)));
    }
  }

  std::vector<Values>& inputs() { return inputs_; }
  const std::vector<bool>& wanted() const { return wanted_; }
  bool any_wanted() const { return std::find(wanted_.begin(), wanted_.end(), true) != wanted_.end(); }

  /// The inputs rounded to a type, so that every type computes the same thing.
  void round_to(Dtype dtype) {
    const auto dtypes = case_.dtypes(dtype, shapes_.size());
    for (std::size_t i = 0; i < inputs_.size(); ++i)
      if (!inputs_[i].empty()) inputs_[i] = values_of(tensor_of(inputs_[i], shapes_[i], dtypes[i]));
  }

  Result operator()(Dtype dtype, Place place, const std::vector<bool>& wanted, Device device = kCpu) const {
    const auto dtypes = case_.dtypes(dtype, shapes_.size());
    Tensors bases(inputs_.size()), views(inputs_.size());
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      if (shapes_[i] == kAbsent) continue;
      bases[i] = AnyTensor::empty(dtypes[i], base_sizes(shapes_[i], place));
      std::memset(bases[i].raw(), 0, std::size_t(bases[i].bytes()));
      copy_into(view_of(bases[i], shapes_[i], place), tensor_of(inputs_[i], shapes_[i], dtypes[i]));
      bases[i] = to(bases[i], device);
      if (wanted[i]) bases[i] = variable(bases[i]);
      views[i] = view_of(bases[i], shapes_[i], place);
    }
    poison();
    const Tensors y = case_.run(dtype, views);
    Result r;
    std::vector<std::pair<AnyTensor, AnyTensor>> seeds;
    for (std::size_t k = 0; k < y.size(); ++k) {
      r.outputs.push_back(values_of(y[k]));
      r.output_sizes.push_back(y[k].sizes());
      if (y[k].requires_grad()) seeds.emplace_back(y[k], to(tensor_of(weights(k, y[k].count()), y[k].sizes(), y[k].dtype()), device));
    }
    if (!seeds.empty()) {
      poison();
      BackwardWalk::run(seeds);
    }
    r.gradients.resize(inputs_.size());
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      if (!wanted[i] || !grad(bases[i]).defined()) continue;
      const AnyTensor whole = grad(bases[i]), part = view_of(whole, shapes_[i], place);
      r.gradients[i] = values_of(part);
      copy_into(part, tensor_of(Values(r.gradients[i].size(), 0.0), shapes_[i], part.dtype()));
      EXPECT_EQ(largest(values_of(whole)), 0) << "gradient of input " << i << " outside of what the op saw, " << name_of(place);
    }
    return r;
  }

  /// Σ weights·outputs, in double.
  double loss() const {
    const NoGrad off;
    Tensors in(inputs_.size());
    const auto dtypes = case_.dtypes(Dtype::f64, shapes_.size());
    for (std::size_t i = 0; i < inputs_.size(); ++i)
      if (!(shapes_[i] == kAbsent)) in[i] = tensor_of(inputs_[i], shapes_[i], dtypes[i]);
    const Tensors y = case_.run(Dtype::f64, in);
    double sum = 0;
    for (std::size_t k = 0; k < y.size(); ++k) {
      if (!is_floating_dtype(y[k].dtype())) continue;
      const Values v = values_of(y[k]), w = weights(k, y[k].count());
      sum = std::inner_product(v.begin(), v.end(), w.begin(), sum);
    }
    return sum;
  }

  Tensors plain_inputs(Dtype dtype, Device device) const {
    const auto dtypes = case_.dtypes(dtype, shapes_.size());
    Tensors in(inputs_.size());
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      if (shapes_[i] == kAbsent) continue;
      in[i] = device == kMeta ? AnyTensor::empty(dtypes[i], shapes_[i], device) : to(tensor_of(inputs_[i], shapes_[i], dtypes[i]), device);
      if (wanted_[i]) in[i] = variable(in[i]);
    }
    return in;
  }

  std::string where() const {
    std::string s = " at";
    for (const Shape& shape : shapes_) s += " " + (shape == kAbsent ? std::string("absent") : shape.str());
    return s;
  }

 private:
  // ∂L/∂output: multiples of 1/64, exact in every type.
  static Values weights(std::size_t output, Index n) {
    Values w(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < w.size(); ++i) w[i] = std::round(64 * uniform(100 + int(output), Index(i))) / 64;
    return w;
  }

  const OpCase& case_;
  const Shapes& shapes_;
  std::vector<Values> inputs_;
  std::vector<bool> wanted_;
};

/// |a − b| ≤ relative·|b| + absolute everywhere; says where not. NaN is equal to NaN alone.
inline void expect_near(const Values& a, const Values& b, double relative, double absolute, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    const double bound = relative * std::abs(b[i]) + absolute;
    ASSERT_LE(std::abs(a[i] - b[i]), bound) << what << ", element " << i << ": " << a[i] << ", expected " << b[i];
    ASSERT_FALSE(std::isnan(a[i]) || std::isnan(b[i])) << what << ", element " << i << ": " << a[i] << ", expected " << b[i];
  }
}
inline void expect_same_bits(const std::vector<Values>& a, const std::vector<Values>& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (std::size_t k = 0; k < a.size(); ++k) {
    ASSERT_EQ(a[k].size(), b[k].size()) << what << ", tensor " << k;
    for (std::size_t i = 0; i < a[k].size(); ++i)
      ASSERT_EQ(std::bit_cast<std::uint64_t>(a[k][i]), std::bit_cast<std::uint64_t>(b[k][i]))
          << what << ", tensor " << k << ", element " << i << ": " << a[k][i] << " and " << b[k][i];
  }
}

}  // namespace fg::test
