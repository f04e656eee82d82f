// Patterns: how they are read, what rearrange makes of them, and when it copies. reduce, repeat and einsum have cases (cases/).
#include <gtest/gtest.h>

#include <framegrad/ops/einsum.hpp>
#include <framegrad/ops/repeat.hpp>
#include <framegrad/ops/views.hpp>

namespace fg {
namespace {

constexpr Pattern kPattern = parse_pattern("b (t s) 1 -> s b_0 (b t)");
static_assert(kPattern.side_count == 2 && kPattern.name_count == 4);
static_assert(kPattern.sides[0].rank == 3 && kPattern.sides[0].parts[1] == 2 && kPattern.sides[0].parts[2] == 0);
static_assert(kPattern.result().rank == 3 && kPattern.names[kPattern.result().names[1][0]] == "b_0");
static_assert(parse_pattern("a b, b c -> a c").side_count == 3);
static_assert(parse_pattern("a ->").result().rank == 0);

template <class F>
std::string refusal(F f) {
  try {
    f();
  } catch (const ShapeError& e) {
    return e.what();
  }
  return "nothing was thrown";
}

Tensor<double, 4> counted() {
  const auto x = empty<double>({2, 3, 4, 5});
  for (Index i = 0; i < x.count(); ++i) x.data()[i] = double(i);
  return x;
}

TEST(Rearrange, PermutesAndSplitsWithoutACopy) {
  const auto x = counted();
  const auto y = rearrange<"b t s d -> b s t d">(x);
  const auto z = rearrange<"b t s (h e) -> h b 1 e s t">(x, axis<"h">(1));
  EXPECT_EQ(y.storage(), x.storage());
  EXPECT_EQ(z.storage(), x.storage());
  EXPECT_EQ(z.shape(), (std::array<Index, 6>{1, 2, 1, 5, 4, 3}));
  for (Index b = 0; b < 2; ++b)
    for (Index t = 0; t < 3; ++t)
      for (Index s = 0; s < 4; ++s)
        for (Index d = 0; d < 5; ++d) {
          ASSERT_EQ(y(b, s, t, d), x(b, t, s, d));
          ASSERT_EQ(z(0, b, 0, d, s, t), x(b, t, s, d));
        }
}

TEST(Rearrange, JoinsNeighboursInMemoryWithoutACopyAndOthersWithOne) {
  const auto x = counted();
  const auto joined = rearrange<"b t s d -> (b t) (s d)">(x), turned = rearrange<"b t s d -> (s b) (d t)">(x);
  EXPECT_EQ(joined.storage(), x.storage());
  EXPECT_NE(turned.storage(), x.storage());
  for (Index b = 0; b < 2; ++b)
    for (Index t = 0; t < 3; ++t)
      for (Index s = 0; s < 4; ++s)
        for (Index d = 0; d < 5; ++d) {
          ASSERT_EQ(joined(b * 3 + t, s * 5 + d), x(b, t, s, d));
          ASSERT_EQ(turned(s * 2 + b, d * 3 + t), x(b, t, s, d));
        }
  const auto back = rearrange<"(s b) (d t) -> b t s d">(turned, axis<"b">(2), axis<"t">(3));
  for (Index i = 0; i < x.count(); ++i) ASSERT_EQ(contiguous(back).data()[i], x.data()[i]);
  EXPECT_EQ(rearrange<"b t s d -> b (t s) d">(slice(x, 3, 1, 3)).storage(), x.storage());  // a slice of the last axis still joins before it
}

TEST(Rearrange, SendsGradientsWhereTheElementsCameFrom) {
  const auto x = variable(counted());
  const auto w = empty<double>({8, 15});
  for (Index i = 0; i < w.count(); ++i) w.data()[i] = double(i * i % 17);
  backward(rearrange<"b t s d -> (s b) (d t)">(x), w);
  const auto g = grad(x);
  for (Index b = 0; b < 2; ++b)
    for (Index t = 0; t < 3; ++t)
      for (Index s = 0; s < 4; ++s)
        for (Index d = 0; d < 5; ++d) ASSERT_EQ(g(b, t, s, d), w(s * 2 + b, d * 3 + t));
}

TEST(Rearrange, TakesEmptyTensors) {
  const auto x = empty<float>({2, 0, 3});
  EXPECT_EQ((rearrange<"a b c -> c (b a)">(x).shape()), (std::array<Index, 2>{3, 0}));
}

TEST(Patterns, SayWhatDoesNotFit) {
  const auto x = counted();
  EXPECT_EQ(refusal([&] { rearrange<"b t (u v) d -> b t u v d">(x); }), "rearrange: the sizes of u and v are both open: give one with axis<>()");
  EXPECT_EQ(refusal([&] { rearrange<"b t (u v) d -> b t u v d">(x, axis<"u">(3)); }), "rearrange: axis 2 of [2, 3, 4, 5] should be 3");
  EXPECT_EQ(refusal([&] { rearrange<"b t s d -> d s t b">(x, axis<"s">(7)); }), "rearrange: axis 2 of [2, 3, 4, 5] should be 7");
  EXPECT_EQ(refusal([&] { rearrange<"b 1 s d -> b s d">(x); }), "rearrange: axis 1 of [2, 3, 4, 5] should be 1");
  EXPECT_EQ(refusal([&] { repeat<"a b c d -> a b c d n">(x); }), "repeat: the size of n is open: give it with axis<>()");
  EXPECT_EQ(refusal([&] { reduce<"a b c (d e) -> a", Sum>(x, axis<"d">(2)); }), "reduce: axis 3 of [2, 3, 4, 5] should be 4");
  EXPECT_EQ(refusal([&] { einsum<"a b c d, a b d e -> a b c e">(x, x); }), "einsum: axis 2 of [2, 3, 4, 5] should be 5");
}

TEST(Einsum, ReadsPermutedViewsWithoutACopy) {
  const auto a = ones<double>({4, 5, 6}), b = ones<double>({6, 5, 3});
  const NoGrad off;
  Allocator::instance().reset_peak();
  const Index before = Allocator::instance().use().used_bytes;
  const auto y = einsum<"m b k, k b n -> b m n">(a, b);
  EXPECT_EQ(Allocator::instance().use().used_bytes - before, 5 * 4 * 3 * 8 + 32);  // y alone, rounded up to 64
  EXPECT_EQ(y(4, 3, 2), 6);
}

}  // namespace
}  // namespace fg
