// What a graph costs in memory: activations computed again, and forecasts by tensors without memory.
#include <gtest/gtest.h>

#include <framegrad/autograd/checkpoint.hpp>
#include <framegrad/ops/add.hpp>
#include <framegrad/ops/affine.hpp>
#include <framegrad/ops/attention.hpp>
#include <framegrad/ops/exp.hpp>
#include <framegrad/ops/gelu.hpp>
#include <framegrad/ops/matmul.hpp>
#include <framegrad/ops/mul.hpp>
#include <framegrad/ops/sigmoid.hpp>
#include <framegrad/ops/softmax.hpp>
#include <framegrad/ops/sub.hpp>
#include <framegrad/ops/sum.hpp>
#include <framegrad/ops/tanh.hpp>
#include <framegrad/ops/views.hpp>

#include "autograd_values.hpp"

namespace fg {
namespace {

TEST(Checkpoint, ReachesVariablesInsideAndNestsAndForgets) {
  const Matrix w = variable(numbers(32, 32)), x = variable(numbers(64, 32));
  const auto block = [&](const Matrix& h) { return tanh(matmul(h, w)); };
  const auto net = [&](const Matrix& h) { return block(block(block(h))); };
  const auto run = [&](const std::function<Number()>& loss) {
    zero_grad(w), zero_grad(x);
    Allocator::instance().reset_peak();
    const Index before = Allocator::instance().use().used_bytes;
    const auto y = loss();
    const Index kept = Allocator::instance().use().used_bytes - before;
    backward(y);
    return std::tuple(kept, values(grad(w)), values(grad(x)));
  };
  const auto [kept, dw, dx] = run([&] { return sum(net(x)); });
  const auto [kept_once, dw_once, dx_once] = run([&] { return sum(checkpoint(net, x)); });
  const auto [kept_nested, dw_nested, dx_nested] =
      run([&] { return sum(checkpoint([&](const Matrix& h) { return block(checkpoint([&](const Matrix& k) { return block(block(k)); }, h)); }, x)); });
  EXPECT_EQ(dw, dw_once);
  EXPECT_EQ(dx, dx_once);
  EXPECT_EQ(dx, dx_nested);
  ASSERT_EQ(dw.size(), dw_nested.size());
  for (std::size_t i = 0; i < dw.size(); ++i) EXPECT_NEAR(dw[i], dw_nested[i], 1e-12 * (1 + std::abs(dw[i])));
  EXPECT_LT(3 * kept_once, 2 * kept);
}

TEST(Checkpoint, TakesAndGivesViews) {
  const auto f = [](const Matrix& a, const Matrix& b) { return slice(a * b, 1, 1, 3); };
  const Matrix x = variable(numbers(4, 8)), again = variable(numbers(4, 8));
  backward(sum(exp(f(slice(x, 1, 0, 4), slice(x, 1, 2, 6)))));
  backward(sum(exp(checkpoint(f, slice(again, 1, 0, 4), slice(again, 1, 2, 6)))));
  EXPECT_EQ(values(grad(x)), values(grad(again)));
}

TEST(Checkpoint, HoldsNeitherTheResultNorASecondGradientOfItsInput) {
  auto& meta = MetaMemory::instance();
  constexpr Index kBytes = 4 << 20, kSmall = 4096;
  const auto x = variable(empty<float>({1 << 20}, kMeta));
  Tensor<float, 0> loss = sum(checkpoint([](const Tensor<float, 1>& u) { return exp(u) * 2; }, x));
  const Index before = meta.used_bytes;
  meta.peak_bytes = before;
  backward(loss);
  // The sum's gradient and exp's result, beside them first y, then the product's gradient; at the end x's gradient alone.
  EXPECT_NEAR(double(meta.peak_bytes - before), 3.0 * kBytes, kSmall);
  EXPECT_NEAR(double(meta.used_bytes - before), 1.0 * kBytes, kSmall);
}

TEST(Checkpoint, IsRefusedByGradWhichCouldMissWhatIsInside) {
  const Matrix x = variable(numbers(2, 2)), w = variable(numbers(2, 2));
  const auto y = sum(checkpoint([&](const Matrix& h) { return h * w; }, x));
  EXPECT_EQ(message_of<GradError>([&] { grad(y, {x}); }), "grad: checkpoint may use variables inside, where grad can't see them: use backward");
  EXPECT_FALSE(grad(w).defined());
}

TEST(Meta, ForecastsShapesAndMemoryWithoutAllocating) {
  auto& meta = MetaMemory::instance();
  auto& memory = Allocator::instance();
  const Index before = meta.used_bytes, allocated = memory.use().used_bytes;
  memory.reset_peak();
  {
    const auto x = empty<float>({1 << 14, 1 << 14}, kMeta);  // 1 GiB
    const auto w = variable(empty<float>({1 << 14, 1 << 14}, kMeta));
    const auto y = gelu(matmul(x, w));
    EXPECT_EQ(y.shape(), (std::array<Index, 2>{1 << 14, 1 << 14}));
    EXPECT_EQ(meta.used_bytes - before, Index(4) << 30);  // x, w, the product, which gelu saves, and y
    const auto loss = sum(y);
    backward(loss);
    EXPECT_EQ(grad(w).sizes(), w.sizes());
    EXPECT_GE(meta.peak_bytes - before, Index(5) << 30);  // and a gradient
  }
  EXPECT_EQ(meta.used_bytes, before);
  EXPECT_EQ(memory.use().used_bytes, allocated);
  EXPECT_LE(memory.use().peak_bytes - allocated, 4096);
}

/// The most that f holds at a time beyond what was there: on meta, and really.
template <class F>
std::pair<Index, Index> peaks(F f) {
  auto& meta = MetaMemory::instance();
  auto& memory = Allocator::instance();
  const Index before = meta.used_bytes, allocated = memory.use().used_bytes;
  meta.peak_bytes = before;
  memory.reset_peak();
  f(kMeta), f(kCpu);
  return {meta.peak_bytes - before, memory.use().peak_bytes - allocated};
}

TEST(Meta, ForecastsThePeakOfOpsWhoseGradientReadsTheirOutput) {
  constexpr Index kRows = 512, kBytes = kRows * kRows * 4, kSmall = 64 << 10;  // scalars, a row's worth of sums
  for (const bool keeps_gradients : {false, true}) {
    const auto [forecast, real] = peaks([&](Device device) {
      const auto x = variable(empty<float>({kRows, kRows}, device));
      if (device == kCpu) fill(Tensor<float>(x.detach()), 0.5f);
      const auto y = sum(tanh(softmax(sigmoid(log_softmax(exp(x))))));  // nothing but the graph holds what is between
      if (keeps_gradients) backward(y);
    });
    EXPECT_GE(real, 6 * kBytes);
    EXPECT_NEAR(double(forecast), double(real), kSmall);
  }
}

TEST(Meta, ForecastsThePeakOfAttention) {
  constexpr Index kSmall = 64 << 10;
  const auto [forecast, real] = peaks([&](Device device) {
    const auto q = variable(empty<float>({2, 256, 64}, device));
    if (device == kCpu) fill(Tensor<float>(q.detach()), 0.25f);
    backward(sum(attention(q, q, q, 4)));
  });
  EXPECT_GE(real, 4 * 2 * 256 * 64 * 4);
  EXPECT_NEAR(double(forecast), double(real), kSmall);
}

TEST(KeptMemory, CountsEachPieceOnceForTheFirstOpThatKeepsIt) {
  auto& kept = KeptMemory::instance();
  constexpr Index kBytes = 1024 * 4;
  const auto x = variable(empty<float>({1024}, kMeta)), w = variable(empty<float>({1024}, kMeta));
  kept.start();
  kept.leave_out(w);
  const auto y = tanh(x);         // keeps y
  const auto z = y * w;           // keeps y, which tanh has, and w, which stays anyway
  const auto loss = sum(exp(z));  // exp keeps its output, sum nothing
  const auto ops = kept.ops;
  kept.stop();
  EXPECT_EQ(ops.at("tanh").bytes, kBytes);
  EXPECT_EQ(ops.at("mul").calls, 1);
  EXPECT_EQ(ops.at("mul").bytes, 0);
  EXPECT_EQ(ops.at("exp").bytes, kBytes);
  EXPECT_EQ(ops.at("sum").bytes, 0);
  tanh(x);
  EXPECT_EQ(kept.ops.at("tanh").calls, 1) << "counted while off";
}

TEST(Meta, ASeedThatNobodyElseHoldsIsNotCopied) {
  auto& meta = MetaMemory::instance();
  constexpr Index kBytes = 4 << 20;
  const auto x = variable(empty<float>({1024, 1024}, kMeta));
  for (const bool held : {true, false}) {
    const auto y = exp(x);
    const Index before = meta.used_bytes;
    meta.peak_bytes = before;
    AnyTensor dy = empty<float>({1024, 1024}, kMeta);
    if (held) grad(y, dy, {x});
    else grad(y, std::move(dy), {x});
    EXPECT_EQ(meta.peak_bytes - before, (held ? 3 : 2) * kBytes);  // dy, its copy, x's gradient
  }
}

}  // namespace
}  // namespace fg
