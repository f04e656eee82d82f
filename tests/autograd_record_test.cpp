// What the graph records, holds and refuses: changed tensors, NoGrad, hooks, types, long chains, threads.
#include <gtest/gtest.h>

#include <thread>

#include <framegrad/autograd/checkpoint.hpp>
#include <framegrad/ops/abs.hpp>
#include <framegrad/ops/add.hpp>
#include <framegrad/ops/affine.hpp>
#include <framegrad/ops/cast.hpp>
#include <framegrad/ops/clamp.hpp>
#include <framegrad/ops/compare.hpp>
#include <framegrad/ops/exp.hpp>
#include <framegrad/ops/gelu.hpp>
#include <framegrad/ops/log.hpp>
#include <framegrad/ops/maximum.hpp>
#include <framegrad/ops/minimum.hpp>
#include <framegrad/ops/mul.hpp>
#include <framegrad/ops/relu.hpp>
#include <framegrad/ops/sqrt.hpp>
#include <framegrad/ops/sub.hpp>
#include <framegrad/ops/sum.hpp>
#include <framegrad/ops/views.hpp>
#include <framegrad/ops/where.hpp>

#include "autograd_values.hpp"

namespace fg {
namespace {

TEST(Autograd, RefusesAnUndefinedInput) { EXPECT_EQ(message_of<ShapeError>([] { exp(Matrix()); }), "exp: an input is undefined"); }

TEST(Autograd, RefusesASecondBackward) {
  const Matrix x = variable(numbers(2, 3));
  const auto y = sum(x * x);
  backward(y);
  EXPECT_EQ(message_of<GradError>([&] { backward(y); }), "sum: backward a second time: what it saved is gone; run forward again");
  const auto shared = x * x;
  backward(sum(exp(shared)));
  EXPECT_EQ(message_of<GradError>([&] { backward(sum(shared)); }), "mul: backward a second time: what it saved is gone; run forward again");
}

TEST(Autograd, RefusesATensorThatWasChangedAfterItWasSaved) {
  const Matrix x = variable(numbers(2, 3)), w = numbers(2, 3);
  const auto y = sum(x * w);
  copy_into(w, numbers(2, 3, 9));
  EXPECT_EQ(message_of<GradError>([&] { backward(y); }), "mul: a tensor [2, 3] saved for backward was changed since");
  const auto z = sum(x + w);  // add saves nothing
  copy_into(w, numbers(2, 3, 10));
  backward(z);
  const auto repeated = checkpoint([](const Matrix& a, const Matrix& b) { return sum(a + b); }, x, w);
  copy_into(w, numbers(2, 3, 11));
  EXPECT_EQ(message_of<GradError>([&] { backward(repeated); }), "checkpoint: an input [2, 3] was changed since");
}

TEST(Autograd, RefusesWhatHasNoGradient) {
  const Matrix x = numbers(2, 3);
  EXPECT_EQ(message_of<GradError>([&] { backward(sum(x)); }), "backward: the tensor depends on no variable");
  EXPECT_THROW(backward(variable(x)), ShapeError);  // more than one number, and no seed
  EXPECT_THROW(backward(variable(x) * 2.0, numbers(3, 2)), ShapeError);
  EXPECT_THROW(variable(empty<std::int32_t>({3})), GradError);
  EXPECT_THROW(variable(slice(x, 1, 0, 2)), GradError);
  EXPECT_THROW(grad(AnyTensor(x)), GradError);
  EXPECT_THROW(grad(sum(variable(x)), {x}), GradError);
}

TEST(NoGradTest, RecordsNothingAndEndsWithItsScope) {
  const Matrix x = variable(numbers(2, 3));
  {
    const NoGrad off;
    EXPECT_FALSE((x * x).requires_grad());
    {
      const NoGrad on(false);
      EXPECT_TRUE((x * x).requires_grad());
    }
    EXPECT_FALSE(grad_enabled());
  }
  try {
    const NoGrad off;
    throw 1;
  } catch (int) {
  }
  EXPECT_TRUE((x * x).requires_grad());
  EXPECT_FALSE((x.detach() * x.detach()).requires_grad());
  const auto y = sum(x * x.detach());
  backward(y);
  EXPECT_EQ(values(grad(x)), values(x));
}

TEST(NoGradTest, GoesAlongIntoParallelFor) {
  const int before = threads();
  set_threads(3);
  const Matrix x = variable(numbers(2, 3));
  std::atomic<int> recorded{0};
  const auto count = [&](Range r) { recorded += int(r.size()) * (x * x).requires_grad(); };
  {
    const NoGrad off;
    parallel_for(30, 1e5, count);
  }
  EXPECT_EQ(recorded, 0);
  parallel_for(30, 1e5, count);
  EXPECT_EQ(recorded, 30);
  set_threads(before);
}

TEST(Autograd, SavesNothingThatNobodyWillAskFor) {
  const auto use = [] { return Allocator::instance().use().used_bytes; };
  const auto x = ones<float>({64, 1024});
  const Index before = use();
  const auto y = sum(gelu(x) * x);  // constants
  EXPECT_LE(use() - before, 64);
}

TEST(Autograd, CallsAHookOnceWithTheWholeGradient) {
  const Matrix x = variable(numbers(2, 3));
  int calls = 0;
  std::vector<double> seen;
  static_cast<Leaf&>(*x.node()).hook = [&](const AnyTensor& g) { ++calls, seen = values(g); };
  backward(sum(x * x + x));
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(seen, values(grad(x)));
}

TEST(Autograd, LeavesOfBf16AddUpInF32) {
  const auto x = variable(full<bf16>({4}, bf16(1.0f)));
  for (int i = 0; i < 300; ++i) backward(sum(x * 1.0));  // bf16 would stop at 256
  EXPECT_EQ(grad(x).dtype(), Dtype::f32);
  EXPECT_EQ(grad(x)(2), 300.0f);
}

TEST(Autograd, CastsGradientsBack) {
  const auto x = variable(full<float>({3}, 2.0f));
  backward(sum(cast<double>(x) * cast<double>(x)));
  EXPECT_EQ(values(grad(x)), (std::vector<double>{4, 4, 4}));
}

TEST(Autograd, HalvesTheGradientBetweenEqualsAndKeepsNaN) {
  const auto a = variable(tensor<double, 1>({3}, {1, 2, 3})), b = variable(tensor<double, 1>({3}, {1, 5, 0}));
  backward(sum(maximum(a, b)));
  EXPECT_EQ(values(grad(a)), (std::vector<double>{0.5, 0, 1}));
  EXPECT_EQ(values(grad(b)), (std::vector<double>{0.5, 1, 0}));
  const double nan = std::nan("");
  const auto x = full<double>({9}, nan), one = ones<double>({9});
  for (const auto& y : {relu(x), clamp(x, 0, 1), maximum(x, one), maximum(one, x), minimum(x, one), minimum(one, x), abs(x)})
    for (const double v : values(y)) EXPECT_TRUE(std::isnan(v));
}

TEST(Autograd, WhereKeepsWhatIsNotChosenOut) {
  const auto x = variable(tensor<double, 1>({2}, {-1, 4}));
  const auto y = where(greater(x, 0), sqrt(x * x), 0);
  backward(sum(where(less(x, 0), 0, log(x))) + sum(y));  // log(−1) is NaN
  EXPECT_EQ(grad(x)(1), 1.25);
}

TEST(Autograd, FreesALongChainWithoutRecursion) {
  const auto x = variable(scalar(1.0));
  auto y = Number(x);
  for (int i = 0; i < 100000; ++i) y = y + 1.0;
  backward(y);
  EXPECT_EQ(grad(x).item(), 1);
  for (int i = 0; i < 100000; ++i) y = i ? y + 1.0 : x + 1.0;
  y = Number();
}

TEST(Autograd, AGraphMayCrossThreads) {
  const Matrix x = variable(numbers(2, 3));
  Matrix y;
  std::thread([&] { y = exp(x * 2.0); }).join();
  Matrix z;
  std::thread([&] { z = y * y; }).join();
  const auto found = grad(sum(z), {x, y});
  for (Index i = 0; i < 6; ++i) EXPECT_NEAR(found[0].as<double>().data()[i], 4 * std::exp(4 * x.data()[i]), 1e-9);
}

TEST(Fields, AreAllVisitedInAConstantStruct) {
  struct Fields { Tensor<double> one; std::optional<Tensor<double>> some, none; std::vector<Tensor<double>> many; };
  const Matrix x = numbers(2, 3);
  const Fields fields{x, Tensor<double>(x), {}, {x, x, x}};
  int visited = 0;
  for_each_tensor(fields, [&](const Tensor<double>& t) { visited += t.data() == x.data(); });
  EXPECT_EQ(visited, 5);
}

TEST(Few, KeepsItsItemsAsItGrowsAndMovesAndLetsThemGo) {
  const auto item = std::make_shared<int>(7);
  Few<std::shared_ptr<int>, 2> list;
  for (long n = 1; n <= 9; ++n) {
    list.push_back(item);
    ASSERT_EQ(list.size(), std::size_t(n));
    for (const auto& i : list) ASSERT_EQ(i, item);
    ASSERT_EQ(item.use_count(), 1 + n);
    Few<std::shared_ptr<int>, 2> moved = std::move(list);
    ASSERT_TRUE(list.empty());
    list.push_back(nullptr);
    list = std::move(moved);
    ASSERT_EQ(list.size(), std::size_t(n));
  }
  list.clear();
  EXPECT_EQ(item.use_count(), 1);
}

}  // namespace
}  // namespace fg
