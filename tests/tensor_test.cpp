// Tensors, views and geometry: against walking every element, and what a mistake is told.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include <framegrad/ops/add.hpp>
#include <framegrad/ops/views.hpp>

namespace fg {
namespace {

/// The places of a geometry's elements, in logical order.
std::vector<Index> places(const Geometry& g) {
  std::vector<Index> at;
  for (Index i = 0; i < g.count(); ++i) {
    Index rest = i, place = g.offset;
    for (int a = g.rank() - 1; a >= 0; --a) place += rest % g.sizes[a] * g.strides[a], rest /= g.sizes[a];
    at.push_back(place);
  }
  return at;
}

std::string describe(const Geometry& g) { return text(g.sizes, " with strides ", g.strides, " from ", g.offset); }

template <class E, class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "nothing was thrown";
}

class Random {
 public:
  Index operator()(Index low, Index high) { return std::uniform_int_distribution<Index>(low, high)(engine_); }
  /// Any sizes and strides.
  Geometry geometry() {
    Geometry g;
    for (Index r = (*this)(0, 3); r > 0; --r) g.sizes.push_back((*this)(0, 3)), g.strides.push_back((*this)(0, 7));
    return g;
  }
  /// A part of a dense tensor, its axes in any order.
  Geometry view() {
    Shape base;
    for (Index r = (*this)(1, 3); r > 0; --r) base.push_back((*this)(1, 6));
    AnyTensor t = AnyTensor::described(Dtype::f32, base, row_major(base));
    for (int a = 0; a < base.rank(); ++a) {
      const Index begin = (*this)(0, base[a]), end = (*this)(begin, base[a]);
      t = t.slice(a, begin, end, (*this)(1, 3));
    }
    if (base.rank() > 1) t = t.transpose(int((*this)(0, base.rank() - 1)), 0);
    return t.geometry();
  }

 private:
  std::mt19937 engine_{11};
};

TEST(Geometry, IsDenseWhenItsElementsFillOnePiece) {
  Random random;
  int dense = 0;
  for (int i = 0; i < 20000; ++i) {
    const Geometry g = i % 2 ? random.geometry() : random.view();
    const auto at = places(g);
    const std::set<Index> distinct(at.begin(), at.end());
    const bool fills = at.empty() || (distinct.size() == at.size() && *distinct.rbegin() - *distinct.begin() + 1 == Index(at.size()));
    ASSERT_EQ(g.is_dense(), fills) << describe(g);
    bool in_order = true;
    for (std::size_t k = 0; k < at.size(); ++k) in_order = in_order && at[k] == g.offset + Index(k);
    ASSERT_EQ(g.is_row_major(), in_order) << describe(g);
    dense += fills;
  }
  EXPECT_GT(dense, 1000);
  EXPECT_LT(dense, 19000);
}

TEST(Geometry, MayOverlapNeverMissesACommonElement) {
  Random random;
  int overlapping = 0;
  for (int i = 0; i < 20000; ++i) {
    const Geometry a = i % 2 ? random.geometry() : random.view();
    Geometry b = i % 3 ? a : random.geometry();
    b.offset += random(0, 12);
    const auto x = places(a), y = places(b);
    const std::set<Index> in_x(x.begin(), x.end());
    const bool meet = std::any_of(y.begin(), y.end(), [&](Index p) { return in_x.count(p) != 0; });
    ASSERT_TRUE(may_overlap(a, b) || !meet) << describe(a) << " and " << describe(b);
    overlapping += meet;
  }
  EXPECT_GT(overlapping, 1000);
}

TEST(Geometry, MayOverlapIsExactForEqualPartsOfADenseTensor) {
  Random random;
  int apart = 0;
  for (int i = 0; i < 5000; ++i) {
    const Shape base{random(1, 5), random(1, 5), random(1, 5)};
    const AnyTensor whole = AnyTensor::described(Dtype::f32, base, row_major(base));
    AnyTensor p = whole, q = whole;
    for (int a = 0; a < 3; ++a) {
      const Index n = random(1, base[a]), step = 1 + (n == 1 ? 0 : (base[a] - 1) / (n - 1) > 1 ? random(0, 1) : 0), length = (n - 1) * step + 1;
      const Index i0 = random(0, base[a] - length), i1 = random(0, base[a] - length);
      p = p.slice(a, i0, i0 + length, step), q = q.slice(a, i1, i1 + length, step);
    }
    const auto x = places(p.geometry()), y = places(q.geometry());
    const std::set<Index> in_x(x.begin(), x.end());
    const bool meet = std::any_of(y.begin(), y.end(), [&](Index place) { return in_x.count(place) != 0; });
    ASSERT_EQ(may_overlap(p.geometry(), q.geometry()), meet) << describe(p.geometry()) << " and " << describe(q.geometry());
    apart += !meet;
  }
  EXPECT_GT(apart, 500);
}

TEST(Geometry, DenseStridesKeepTheOrderOfAxes) {
  Random random;
  for (int i = 0; i < 2000; ++i) {
    const Geometry g = random.view();
    const Geometry dense{g.sizes, dense_strides(g.sizes, g), 0};
    ASSERT_TRUE(dense.is_dense()) << describe(g);
    for (int a = 0; a < g.rank(); ++a)
      for (int b = 0; b < g.rank(); ++b)
        ASSERT_TRUE(g.sizes[a] < 2 || g.sizes[b] < 2 || g.strides[a] <= g.strides[b] || dense.strides[a] > dense.strides[b]) << describe(g);
  }
}

TEST(Shape, BroadcastsAsNumPyDoes) {
  EXPECT_EQ(broadcast_shape({2, 1, 4}, {3, 1}, "op"), (Shape{2, 3, 4}));
  EXPECT_EQ(broadcast_shape({}, {5}, "op"), (Shape{5}));
  EXPECT_EQ(broadcast_shape({0, 3}, {1, 3}, "op"), (Shape{0, 3}));
  EXPECT_EQ(message_of<ShapeError>([] { add(empty<float>({2, 3}), empty<float>({2, 4})); }), "add: [2, 3] and [2, 4] can't be broadcast: 3 against 4 at axis -1");
  EXPECT_EQ(message_of<ShapeError>([] { add(empty<float>({5, 2, 3}), empty<float>({4, 1, 3})); }),
            "add: [5, 2, 3] and [4, 1, 3] can't be broadcast: 5 against 4 at axis -3");
}

TEST(Shape, HasEightAxesAtMost) {
  Shape s = Shape::filled(8, 1);
  EXPECT_THROW(s.push_back(1), ShapeError);
  EXPECT_EQ(checked_axis(-1, 3, "op"), 2);
  EXPECT_EQ(message_of<ShapeError>([] { checked_axis(3, 3, "op"); }), "op: axis 3 of a tensor of rank 3");
}

TEST(Tensor, ViewsShareMemoryAndSeeTheRightElements) {
  const auto x = empty<float>({3, 4, 5});
  for (Index i = 0; i < 60; ++i) x.data()[i] = float(i);
  const auto part = slice(x, 1, 1, 4, 2);  // [3, 2, 5]
  EXPECT_EQ(part.shape(), (std::array<Index, 3>{3, 2, 5}));
  EXPECT_EQ(part(2, 1, 3), x(2, 3, 3));
  const auto turned = transpose(part, 0, -1);  // [5, 2, 3]
  EXPECT_EQ(turned(3, 1, 2), x(2, 3, 3));
  const auto row = select(turned, 1, 0);  // [5, 3]
  EXPECT_EQ(row(4, 2), x(2, 1, 4));
  EXPECT_EQ(unsqueeze(row, 1)(4, 0, 2), row(4, 2));
  EXPECT_EQ(squeeze(unsqueeze(row, -1), 2)(4, 2), row(4, 2));
  EXPECT_EQ(x.storage(), row.storage());
  row(4, 2) = -1;
  EXPECT_EQ(x(2, 1, 4), -1);
  const auto flat = reshape(x, {12, -1});
  EXPECT_EQ(flat.storage(), x.storage());
  EXPECT_EQ(flat(11, 4), x(2, 3, 4));
  EXPECT_EQ(reshape(turned, {30})(0), turned(0, 0, 0));
  EXPECT_NE(reshape(turned, {30}).storage(), x.storage());
  const auto [a, b] = chunk<2>(x, 1);
  EXPECT_EQ(b(1, 1, 1), x(1, 3, 1));
  EXPECT_EQ(a(1, 1, 1), x(1, 1, 1));
  EXPECT_EQ(unbind<3>(x)[2](3, 4), x(2, 3, 4));
}

TEST(Tensor, FillSetsAViewAndNothingElse) {
  const auto x = zeros<float>({4, 5});
  fill(slice(transpose(x, 0, 1), 0, 1, 4, 2), 3);
  for (Index i = 0; i < 4; ++i)
    for (Index j = 0; j < 5; ++j) EXPECT_EQ(x(i, j), j == 1 || j == 3 ? 3 : 0);
}

TEST(Tensor, SaysWhatIsWrongWithAnIndexOrAShape) {
  const auto x = zeros<float>({3, 4});
  EXPECT_EQ(message_of<ShapeError>([&] { slice(x, 1, 2, 5); }), "slice: [2, 5) by 1 of axis 1 of [3, 4]");
  EXPECT_EQ(message_of<ShapeError>([&] { select(x, 0, 3); }), "select: index 3 of axis 0 of [3, 4]");
  EXPECT_EQ(message_of<ShapeError>([&] { squeeze(x, 0); }), "squeeze: axis 0 of [3, 4] is not 1");
  EXPECT_EQ(message_of<ShapeError>([&] { x(0, 4); }), "Tensor: index 4 at axis 1 of [3, 4]");
  EXPECT_EQ(message_of<ShapeError>([&] { x.item(); }), "item: tensor is [3, 4], one element is needed");
  EXPECT_EQ(message_of<ShapeError>([&] { reshape(x, {5, -1}); }), "reshape: [3, 4] has 12 elements, [5, 2] asks for 10");
  EXPECT_EQ(message_of<ShapeError>([&] { reshape(x, {-1, -1}); }), "reshape: two sizes are left open");
  EXPECT_EQ(message_of<ShapeError>([&] { chunk<3>(x, 1); }), "chunk: axis 1 of [3, 4] doesn't part in 3");
  EXPECT_EQ(message_of<ShapeError>([&] { unbind<4>(x); }), "unbind: x is [3, 4], a first axis of 4 is needed");
  const AnyTensor any = x;
  EXPECT_EQ(message_of<ShapeError>([&] { any.as<float, 3>(); }), "Tensor: is [3, 4], asked for with rank 3");
  EXPECT_EQ(message_of<DtypeError>([&] { any.as<bf16>(); }), "Tensor: holds float, asked for as bf16");
  EXPECT_THROW(empty<float>({2, -1}), ShapeError);
  EXPECT_THROW((tensor<float, 1>({3}, {1, 2})), ShapeError);
}

TEST(Tensor, WrapsForeignMemoryAndGivesItBackOnce) {
  std::vector<float> memory(12, 1.0f);
  int freed = 0;
  {
    AnyTensor kept;
    {
      const auto x = wrap<float, 2>(memory.data(), {3, 2}, {4, 1}, [&] { ++freed; });
      x(2, 1) = 7;
      EXPECT_EQ(memory[9], 7);
      EXPECT_FALSE(x.is_dense());
      EXPECT_EQ(x.storage()->bytes(), 10 * 4);
      kept = slice(x, 0, 1, 2);
    }
    EXPECT_EQ(freed, 0);  // the view holds it
    kept.as<float, 2>()(0, 0) = 3;
    EXPECT_EQ(memory[4], 3);
  }
  EXPECT_EQ(freed, 1);
  EXPECT_THROW((wrap<float, 1>(memory.data(), {3}, {-1})), ShapeError);
}

TEST(Tensor, OnMetaTakesNoMemory) {
  const Index before = Allocator::instance().use().used_bytes, meta_before = MetaMemory::instance().used_bytes;
  {
    const auto x = empty<float>({1 << 20, 1 << 20}, kMeta);
    EXPECT_TRUE(x.is_meta());
    EXPECT_EQ(Allocator::instance().use().used_bytes, before);
    EXPECT_EQ(MetaMemory::instance().used_bytes, meta_before + (Index(1) << 42));
    EXPECT_EQ(transpose(x, 0, 1).size(0), 1 << 20);
  }
  EXPECT_EQ(MetaMemory::instance().used_bytes, meta_before);
}

TEST(Dtype, Bf16AndHalfKeepEveryValueOfTheirOwn) {
  for (int i = 0; i < 65536; ++i) {
    bf16 b;
    b.bits = std::uint16_t(i);
    half h;
    h.bits = std::uint16_t(i);
    if (!std::isnan(float(b))) ASSERT_EQ(bf16(float(b)).bits, i);
    else ASSERT_TRUE(std::isnan(float(bf16(float(b)))));
    if (!std::isnan(float(h))) ASSERT_EQ(half(float(h)).bits, i);
    else ASSERT_TRUE(std::isnan(float(half(float(h)))));
  }
}

TEST(Dtype, Bf16AndHalfRoundToNearestEven) {
  EXPECT_EQ(float(bf16(1.0f + 0x1p-8f)), 1.0f);              // half way: to even
  EXPECT_EQ(float(bf16(1.0f + 3 * 0x1p-8f)), 1.0f + 0x1p-6f);
  EXPECT_EQ(float(bf16(1.0f + 0x1.1p-8f)), 1.0f + 0x1p-7f);
  EXPECT_EQ(float(half(1.0f + 0x1p-11f)), 1.0f);
  EXPECT_EQ(float(half(1.0f + 3 * 0x1p-11f)), 1.0f + 0x1p-9f);
  EXPECT_EQ(float(half(65519.0f)), 65504.0f);
  EXPECT_TRUE(std::isinf(float(half(65520.0f))));
  EXPECT_EQ(float(half(0x1p-25f)), 0.0f);                    // half of the smallest: to even
  EXPECT_EQ(float(half(0x1.8p-25f)), 0x1p-24f);
}

}  // namespace
}  // namespace fg
