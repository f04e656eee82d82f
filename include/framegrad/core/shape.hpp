// Shape — up to eight sizes (or strides), held in place.
#pragma once

#include <algorithm>
#include <array>
#include <initializer_list>
#include <span>

#include <framegrad/core/error.hpp>

namespace fg::inline FRAMEGRAD_ABI {

inline constexpr int kMaxRank = 8;

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<Index> sizes) : Shape(std::span<const Index>(sizes.begin(), sizes.size())) {}
  Shape(std::span<const Index> sizes) {
    check_shape(sizes.size() <= std::size_t(kMaxRank), "Shape", "rank ", sizes.size(), ", at most ", kMaxRank, " is possible");
    for (const Index n : sizes) push_back(n);
  }
  template <std::size_t R>
  Shape(const std::array<Index, R>& sizes) : Shape(std::span<const Index>(sizes)) {}

  static Shape filled(int rank, Index value) {
    Shape s;
    for (int i = 0; i < rank; ++i) s.push_back(value);
    return s;
  }

  int rank() const { return rank_; }
  Index& operator[](int i) { return n_[i]; }
  Index operator[](int i) const { return n_[i]; }
  Index back() const { return n_[rank_ - 1]; }
  Index* begin() { return n_.data(); }
  Index* end() { return n_.data() + rank_; }
  const Index* begin() const { return n_.data(); }
  const Index* end() const { return n_.data() + rank_; }

  void push_back(Index n) {
    check_shape(rank_ < kMaxRank, "Shape", "rank ", rank_ + 1, ", at most ", kMaxRank, " is possible");
    n_[rank_++] = n;
  }
  void insert(int at, Index n) {
    push_back(n);
    std::rotate(begin() + at, end() - 1, end());
  }
  void erase(int at) {
    std::copy(begin() + at + 1, end(), begin() + at);
    --rank_;
  }

  /// Product of the sizes; 1 for a scalar.
  Index count() const {
    Index c = 1;
    for (const Index n : *this) c *= n;
    return c;
  }

  bool operator==(const Shape& o) const { return rank_ == o.rank_ && std::equal(begin(), end(), o.begin()); }

  /// "[2, 3]"
  std::string str() const {
    std::string s = "[";
    for (int i = 0; i < rank_; ++i) s += (i ? ", " : "") + std::to_string(n_[i]);
    return s + "]";
  }

 private:
  std::array<Index, kMaxRank> n_{};
  int rank_ = 0;
};

using Strides = Shape;

/// Turns an axis counted from the end (−1 is the last) into one counted from the start; throws ShapeError outside [−rank, rank).
inline int checked_axis(int axis, int rank, std::string_view name) {
  check_shape(axis >= -rank && axis < rank, name, "axis ", axis, " of a tensor of rank ", rank);
  return axis < 0 ? axis + rank : axis;
}

/// Strides of a row-major tensor of these sizes.
inline Strides row_major(const Shape& sizes) {
  Strides s = Shape::filled(sizes.rank(), 1);
  for (int i = sizes.rank() - 2; i >= 0; --i) s[i] = s[i + 1] * std::max<Index>(sizes[i + 1], 1);
  return s;
}

/// Shape of a and b broadcast against each other (NumPy's rule: aligned at the last axis, 1 stretches).
inline Shape broadcast_shape(const Shape& a, const Shape& b, std::string_view name) {
  const int rank = std::max(a.rank(), b.rank());
  Shape out = Shape::filled(rank, 1);
  for (int i = 1; i <= rank; ++i) {
    const Index na = i <= a.rank() ? a[a.rank() - i] : 1, nb = i <= b.rank() ? b[b.rank() - i] : 1;
    check_shape(na == nb || na == 1 || nb == 1, name, a, " and ", b, " can't be broadcast: ", na, " against ", nb, " at axis -", i);
    out[rank - i] = na == 1 ? nb : na;
  }
  return out;
}

/// Sizes, strides and offset, in elements: which elements of a storage a tensor is, and in what order.
struct Geometry {
  Shape sizes;
  Strides strides;
  Index offset = 0;

  int rank() const { return sizes.rank(); }
  Index count() const { return sizes.count(); }
  bool operator==(const Geometry&) const = default;

  /// Axes from the largest stride to the smallest; axes of size 1 keep their place among equals.
  std::array<int, kMaxRank> order() const {
    std::array<int, kMaxRank> axes{};
    for (int i = 0; i < rank(); ++i) {  // by insertion: std::stable_sort allocates
      int at = i;
      for (; at > 0 && strides[axes[at - 1]] < strides[i]; --at) axes[at] = axes[at - 1];
      axes[at] = i;
    }
    return axes;
  }

  /// Whether the elements fill one piece of memory without gap or overlap, in whatever order of axes.
  bool is_dense() const {
    const auto axes = order();
    Index expected = 1;
    for (int i = rank() - 1; i >= 0; --i) {
      const int a = axes[i];
      if (sizes[a] == 1) continue;
      if (strides[a] != expected) return count() == 0;
      expected *= sizes[a];
    }
    return true;
  }
  bool is_row_major() const {
    Index expected = 1;
    for (int i = rank() - 1; i >= 0; --i) {
      if (sizes[i] == 1) continue;
      if (strides[i] != expected) return count() == 0;
      expected *= sizes[i];
    }
    return true;
  }
  /// Dense, and neighbours along the last axis are neighbours in memory: rows can be walked in memory order.
  bool has_dense_rows() const { return rank() > 0 && is_dense() && (sizes.back() == 1 ? is_row_major() || last_is_innermost() : strides.back() == 1); }

 private:
  bool last_is_innermost() const { return strides.back() == 1; }
};

/// Dense strides for `sizes` in the order of memory that `like` has (same rank).
inline Strides dense_strides(const Shape& sizes, const Geometry& like) {
  const auto axes = like.order();
  Strides s = Shape::filled(sizes.rank(), 1);
  Index next = 1;
  for (int i = sizes.rank() - 1; i >= 0; --i) {
    s[axes[i]] = next;
    next *= std::max<Index>(sizes[axes[i]], 1);
  }
  return s;
}

/// Whether two views of one storage that have the same sizes and strides can meet in an element. Exact for strides
/// that nest; where the search grows too large it answers yes.
inline bool may_overlap(const Geometry& a, const Geometry& b) {
  if (a.count() == 0 || b.count() == 0) return false;
  if (!(a.sizes == b.sizes && a.strides == b.strides)) {
    const auto last = [](const Geometry& g) {
      Index e = g.offset;
      for (int i = 0; i < g.rank(); ++i) e += (g.sizes[i] - 1) * g.strides[i];
      return e;
    };
    return a.offset <= last(b) && b.offset <= last(a);
  }
  // Is there a vector of index differences |i_k| < n_k with Σ i_k·s_k = Δ? Largest stride first; what the smaller ones reach bounds it.
  const auto axes = a.order();
  std::array<Index, kMaxRank + 1> reach{};
  for (int i = a.rank() - 1; i >= 0; --i) reach[i] = reach[i + 1] + (a.sizes[axes[i]] - 1) * a.strides[axes[i]];
  int budget = 1000;
  const auto meets = [&](const auto& self, int level, Index delta) -> bool {
    if (delta > reach[level] || delta < -reach[level]) return false;
    if (level == a.rank() || --budget < 0) return true;
    const Index n = a.sizes[axes[level]], s = a.strides[axes[level]];
    if (n == 1 || s == 0) return self(self, level + 1, delta);
    const Index low = std::max(-(n - 1), (delta - reach[level + 1]) / s - 1), high = std::min(n - 1, (delta + reach[level + 1]) / s + 1);
    for (Index i = low; i <= high; ++i)
      if (self(self, level + 1, delta - i * s)) return true;
    return false;
  };
  return meets(meets, 0, b.offset - a.offset);
}

}  // namespace fg::inline FRAMEGRAD_ABI
