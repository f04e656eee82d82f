// The graph: gradients through views, shared and overlapping parts against differences, what aliases what, and what is refused.
#include <gtest/gtest.h>

#include <framegrad/autograd/checkpoint.hpp>
#include <framegrad/ops/abs.hpp>
#include <framegrad/ops/add.hpp>
#include <framegrad/ops/affine.hpp>
#include <framegrad/ops/cat.hpp>
#include <framegrad/ops/div.hpp>
#include <framegrad/ops/exp.hpp>
#include <framegrad/ops/matmul.hpp>
#include <framegrad/ops/max.hpp>
#include <framegrad/ops/mul.hpp>
#include <framegrad/ops/rearrange.hpp>
#include <framegrad/ops/sin.hpp>
#include <framegrad/ops/sub.hpp>
#include <framegrad/ops/sum.hpp>
#include <framegrad/ops/views.hpp>

#include "autograd_values.hpp"

namespace fg {
namespace {

/// A function of one matrix, made of whatever the graph has to get right.
struct Function {
  const char* name;
  std::function<Number(const Matrix&)> f;
};
const std::vector<Function>& functions() {
  static const std::vector<Function> all = {
      {"x + x", [](const Matrix& x) { return sum((x + x) * x); }},
      {"three times the same", [](const Matrix& x) { return sum(exp(x + x + x)); }},
      {"a diamond", [](const Matrix& x) {
         const auto a = exp(x), b = sin(a);
         return sum(a * b + a);
       }},
      {"the same tensor on both sides", [](const Matrix& x) { return sum(x * x - x / (x * x + 1.0)); }},
      {"slices apart", [](const Matrix& x) { return sum(slice(x, 0, 0, 2) * slice(x, 0, 2, 4)); }},
      {"overlapping slices", [](const Matrix& x) { return sum(slice(x, 0, 0, 3) * slice(x, 0, 1, 4)); }},
      {"slices that interleave", [](const Matrix& x) { return sum(slice(x, 1, 0, 5, 2) * exp(slice(x, 1, 1, 6, 2))); }},
      {"one slice twice", [](const Matrix& x) {
         const auto s = slice(x, 1, 2, 4);
         return sum(s * s) + sum(exp(s));
       }},
      {"whole and part", [](const Matrix& x) { return sum(x * x) + sum(slice(x, 1, 1, 5, 2) * 3.0); }},
      {"part and whole", [](const Matrix& x) { return sum(slice(x, 1, 1, 5, 2) * 3.0) * sum(x * x); }},
      {"rows of an op's output", [](const Matrix& x) {
         const auto h = exp(x);
         return sum(select(h, 0, 0) * select(h, 0, 1) + select(h, 0, 1) * select(h, 0, 3));
       }},
      {"a part that nobody uses", [](const Matrix& x) { return sum(slice(sin(x), 0, 1, 3)); }},
      {"with its own transpose", [](const Matrix& x) {
         const auto square = slice(x, 1, 0, 4);
         return sum(square * transpose(square, 0, 1));
       }},
      {"sum of itself and its transpose", [](const Matrix& x) {
         const auto square = slice(x, 1, 0, 4);
         return sum(exp(square + transpose(square, 0, 1)));
       }},
      {"matmul with its own transpose", [](const Matrix& x) { return sum(matmul(x, transpose(x, 0, 1)) * matmul(x, transpose(x, 0, 1))); }},
      {"a row repeated against the whole", [](const Matrix& x) { return sum(x * slice(x, 0, 1, 2)); }},
      {"a column added to the whole", [](const Matrix& x) { return sum(exp(slice(x, 1, 3, 4) + x)); }},
      {"gradients that pass through", [](const Matrix& x) {
         const auto y = x + x * 2.0, z = y + x;
         return sum((z + y) * z);
       }},
      {"differences that cancel", [](const Matrix& x) { return sum((x - x) * x) + sum(x - x * x); }},
      {"reshaped and unsqueezed", [](const Matrix& x) {
         const auto y = reshape(transpose(x, 0, 1), {3, 8});
         return sum(squeeze(unsqueeze(y, 1) * 2.0, 1) * reshape(x, {3, 8}));
       }},
      {"chunks put together again", [](const Matrix& x) {
         const auto [a, b, c] = chunk<3>(x, 1);
         return sum(cat({c * a, b, exp(a)}, 1));
       }},
      {"axes joined", [](const Matrix& x) { return sum(exp(rearrange<"a (b c) -> (c a) b">(x, axis<"b">(3)))); }},
      {"extremes with their places", [](const Matrix& x) { return sum(max<1>(x) * min<1>(x)); }},
      {"a long chain", [](const Matrix& x) {
         auto y = x;
         for (int i = 0; i < 20; ++i) y = sin(y) + x;
         return sum(y);
       }},
  };
  return all;
}

TEST(Autograd, AgreesWithDifferences) {
  for (const auto& [name, f] : functions()) {
    const Matrix x = variable(numbers(4, 6));
    backward(f(x));
    const auto g = grad(x);
    for (Index i = 0; i < x.count(); ++i) {
      constexpr double kStep = 1e-3;
      const auto at = [&](double step) {
        const NoGrad off;
        const Matrix moved = numbers(4, 6);
        moved.data()[i] += step * kStep;
        return f(moved).item();
      };
      const double d = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * kStep);
      ASSERT_NEAR(g.data()[i], d, 1e-7 * (1 + std::abs(d))) << name << ", element " << i;
    }
  }
}

TEST(Autograd, GradReturnsWhatBackwardAddsAndTouchesNothing) {
  for (const auto& [name, f] : functions()) {
    const Matrix x = variable(numbers(4, 6));
    const auto y = f(x);
    const auto found = grad(y, {x});
    EXPECT_FALSE(grad(x).defined()) << name;
    backward(f(x));
    EXPECT_EQ(values(found[0]), values(grad(x))) << name;
  }
}

TEST(Autograd, CheckpointGivesTheSameBits) {
  for (const auto& [name, f] : functions()) {
    const Matrix x = variable(numbers(4, 6)), again = variable(numbers(4, 6));
    const auto plain = f(x * 1.0), repeated = checkpoint(f, again * 1.0);
    EXPECT_EQ(plain.item(), repeated.item()) << name;
    backward(plain);
    backward(repeated);
    EXPECT_EQ(values(grad(x)), values(grad(again))) << name;
  }
}

TEST(Autograd, BackwardAddsAndZeroGradForgets) {
  const Matrix x = variable(numbers(2, 3));
  backward(sum(x * x));
  const auto once = values(grad(x));
  backward(sum(x * x));
  const auto twice = values(grad(x));
  for (std::size_t i = 0; i < once.size(); ++i) EXPECT_EQ(twice[i], 2 * once[i]);
  zero_grad(x);
  EXPECT_FALSE(grad(x).defined());
}

TEST(Autograd, LeavesTheUsersSeedAlone) {
  const Matrix x = variable(numbers(3, 4)), y = variable(numbers(3, 4, 2));
  const Matrix seed = numbers(3, 4, 5);
  const auto before = values(seed);
  for (int round = 0; round < 2; ++round) backward(x + y, seed);
  EXPECT_EQ(values(seed), before);
  EXPECT_NE(grad(x).storage(), seed.storage());
  EXPECT_NE(grad(x).storage(), grad(y).storage());
  const auto g = grad(y);
  grad(x).data()[0] = 1e9;
  EXPECT_NE(g.data()[0], 1e9);
}

TEST(Autograd, GradientsAskedForShareNoMemory) {
  const Matrix x = variable(numbers(3, 4)), b = variable(numbers(3, 4, 2));
  const auto y = x + b, z = y + x;
  const auto found = grad(sum(z * z), {z, y, x, b});  // y's gradient is z's, passed through; b's is y's
  const auto expected = values(found[1]);
  for (const std::size_t i : {0, 2, 3}) {
    const auto p = found[i].as<double>();
    std::fill_n(p.data(), p.count(), 0.0);
    EXPECT_EQ(values(found[1]), expected) << "gradient " << i << " is y's as well";
  }
}

TEST(Autograd, SeedsSeveralResultsAtOnce) {
  const Matrix x = variable(numbers(2, 2));
  const auto y = exp(x), z = y * y;
  const Matrix one = ones<double>({2, 2}), two = full<double>({2, 2}, 2.0);
  BackwardWalk::run({{y, one}, {z, two}, {y, one}});
  for (Index i = 0; i < 4; ++i) EXPECT_NEAR(grad(x).data()[i], 2 * std::exp(x.data()[i]) + 4 * std::exp(2 * x.data()[i]), 1e-12);
}

TEST(Autograd, GradIsUndefinedWhereNothingDepends) {
  const Matrix x = variable(numbers(2, 2)), other = variable(numbers(2, 2));
  const auto found = grad(sum(x * x), {other, x});
  EXPECT_FALSE(found[0].defined());
  EXPECT_TRUE(found[1].defined());
}

TEST(Autograd, GivesThePartOfAViewAskedFor) {
  const Matrix x = variable(numbers(4, 4));
  const auto part = slice(x, 0, 1, 3);
  const auto found = grad(sum(x * x), {part});
  EXPECT_EQ(found[0].sizes(), (Shape{2, 4}));
  EXPECT_NEAR((found[0].as<double, 2>()(1, 2)), 2 * x(2, 2), 1e-15);
}

// Two outputs, each of which may go unused.
template <class T>
struct SinCos {
  static constexpr std::string_view name = "sin_cos";
  static constexpr Layout layout = Layout::row_major;
  struct Attrs {};
  struct In { Tensor<T> x; };
  struct Out { Tensor<T> sin, cos; };
  struct Saved { Tensor<T> sin, cos; };
  static void infer(const Attrs&, const In& in, Out& out, Saved&) { out = {like(in.x), like(in.x)}; }
  static void forward(Cpu, const Attrs&, const In& in, Out& out, Saved* saved) {
    for (Index i = 0; i < in.x.count(); ++i) out.sin.data()[i] = std::sin(in.x.data()[i]), out.cos.data()[i] = std::cos(in.x.data()[i]);
    if (saved) *saved = {out.sin, out.cos};
  }
  static void backward(Cpu, const Attrs&, const Saved& s, const Out& g, In& d) {
    for (Index i = 0; i < d.x.count(); ++i) d.x.data()[i] = g.sin.data()[i] * s.cos.data()[i] - g.cos.data()[i] * s.sin.data()[i];
  }
};

TEST(Autograd, GivesZeroForAnOutputThatNobodyUsed) {
  const Matrix x = variable(numbers(2, 3));
  const auto y = apply<SinCos<double>>({}, {x});
  backward(sum(Matrix(y.sin) * 2.0));
  for (Index i = 0; i < 6; ++i) EXPECT_NEAR(grad(x).data()[i], 2 * std::cos(x.data()[i]), 1e-15);
  zero_grad(x);
  const auto both = apply<SinCos<double>>({}, {x});
  backward(sum(Matrix(both.sin) * Matrix(both.cos)));
  for (Index i = 0; i < 6; ++i) EXPECT_NEAR(grad(x).data()[i], std::cos(2 * x.data()[i]), 1e-15);
}

template <class T>
struct Round {
  static constexpr std::string_view name = "round";
  struct Attrs {};
  struct In { Tensor<T> x; };
  struct Out { Tensor<T> y; };
  struct Saved {};
  static void infer(const Attrs&, const In& in, Out& out, Saved&) { out = {like(in.x)}; }
  static void forward(Cpu, const Attrs&, const In& in, Out& out, Saved*) {
    for (Index i = 0; i < in.x.count(); ++i) out.y.data()[i] = std::round(in.x.data()[i]);
  }
};

TEST(Autograd, AnOpWithoutBackwardRefusesByName) {
  const Matrix x = variable(numbers(2, 3));
  EXPECT_EQ(message_of<GradError>([&] { apply<Round<double>>({}, {x}); }), "round: has no backward; detach its inputs or run it under NoGrad");
  EXPECT_FALSE(apply<Round<double>>({}, {x.detach()}).requires_grad());
  const NoGrad off;
  EXPECT_FALSE(apply<Round<double>>({}, {x}).requires_grad());
}

}  // namespace
}  // namespace fg
