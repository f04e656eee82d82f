// Activations that are made again in backward in place of being kept: the same gradients, bit for bit, for less memory.
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <map>

#include <framegrad/autograd/checkpoint.hpp>
#include <framegrad/ops/attention.hpp>
#include <framegrad/ops/conv.hpp>
#include <framegrad/ops/geglu.hpp>
#include <framegrad/ops/gelu.hpp>
#include <framegrad/ops/group_norm.hpp>
#include <framegrad/ops/layer_norm.hpp>
#include <framegrad/ops/layer_norm_modulate.hpp>
#include <framegrad/ops/linear.hpp>
#include <framegrad/ops/modulate.hpp>
#include <framegrad/ops/mul.hpp>
#include <framegrad/ops/rms_norm.hpp>
#include <framegrad/ops/silu.hpp>
#include <framegrad/ops/sum.hpp>
#include <framegrad/ops/views.hpp>

#include "autograd_values.hpp"
#include "recompute_from.hpp"

namespace fg {
namespace {

constexpr Index kNever = std::numeric_limits<Index>::max();

template <class T, int R>
Tensor<T, R> wave(const Index (&sizes)[R], double first) {
  const auto x = empty<T, R>(sizes);
  for (Index i = 0; i < x.count(); ++i) x.data()[i] = T(float(std::sin(first + 1.7 * double(i))));
  return x;
}

struct Outcome {
  std::vector<std::vector<double>> gradients;
  Index kept = 0;                      // bytes from forward to backward
  std::map<std::string, int> again;    // calls, by the op's name
};

/// Of the loss's gradient by all of `variables`.
Outcome run(const std::vector<AnyTensor>& variables, const std::function<AnyTensor()>& loss, Index from_bytes) {
  const RecomputeFrom from(from_bytes);
  for (const auto& v : variables) zero_grad(v);
  const Index before = Allocator::instance().use().used_bytes;
  auto& trace = Trace::instance();
  Outcome r;
  trace.start();
  const AnyTensor y = loss();
  r.kept = Allocator::instance().use().used_bytes - before;
  backward(y);
  trace.stop();
  for (const auto& e : trace.events)
    if (e.direction == "recompute") ++r.again[e.name];
  for (const auto& v : variables) r.gradients.push_back(values(grad(v)));
  return r;
}

using Rows = Tensor<float, 3>;
constexpr Index kB = 2, kN = 64, kC = 32;
constexpr Index kBytes = kB * kN * kC * 4;

/// An activation [2, 64, 32] → [2, 64, …], and a product that reads it; y and the gradients are compared.
void same_gradients(const std::string& name, const std::function<Rows(const Rows&)>& activation, Index width = kC, const std::vector<AnyTensor>& more = {}) {
  SCOPED_TRACE(name);
  const auto x = variable(wave<float, 3>({kB, kN, kC}, 0.3));
  const auto w = variable(wave<float, 2>({7, width}, 0.9));
  std::vector<AnyTensor> variables = {x, w};
  variables.insert(variables.end(), more.begin(), more.end());
  const auto loss = [&]() -> AnyTensor {
    const auto y = linear(activation(x), w);
    return sum(y * y);
  };
  const Outcome kept = run(variables, loss, kNever), again = run(variables, loss, 0);
  EXPECT_EQ(again.gradients, kept.gradients);
  EXPECT_TRUE(kept.again.empty());
  EXPECT_EQ(again.again, (std::map<std::string, int>{{name, 1}}));
  EXPECT_EQ(kept.kept - again.kept, kBytes / kC * width);
}

TEST(Recompute, GivesTheSameGradientsForLess) {
  const auto gamma = variable(wave<float, 1>({kC}, 1.1)), beta = variable(wave<float, 1>({kC}, 2.2));
  const auto shift = variable(wave<float, 3>({kB, 1, kC}, 3.1)), scale = variable(wave<float, 3>({kB, 1, kC}, 4.7));
  same_gradients("layer_norm", [&](const Rows& x) { return layer_norm(x); });
  same_gradients("layer_norm", [&](const Rows& x) { return layer_norm(x, gamma, beta); }, kC, {gamma, beta});
  same_gradients("layer_norm_modulate", [&](const Rows& x) { return layer_norm_modulate(x, shift, scale); }, kC, {shift, scale});
  same_gradients("modulate", [&](const Rows& x) { return modulate(x, shift, scale); }, kC, {shift, scale});
  same_gradients("rms_norm", [&](const Rows& x) { return rms_norm(x, gamma); }, kC, {gamma});
  same_gradients("geglu", [&](const Rows& x) { return geglu(x); }, kC / 2);
  same_gradients("silu", [&](const Rows& x) { return silu(x); });
  const auto up = variable(wave<float, 2>({2 * kC, kC}, 5.3));
  const auto bias = variable(wave<float, 1>({2 * kC}, 6.1));
  same_gradients("linear", [&](const Rows& x) { return linear<Gelu>(x, up, bias); }, 2 * kC, {up, bias});
  same_gradients("linear", [&](const Rows& x) { return linear<GeluTanh>(x, up, bias); }, 2 * kC, {up, bias});
  same_gradients("linear", [&](const Rows& x) { return linear<Silu>(x, up); }, 2 * kC, {up});
  same_gradients("linear", [&](const Rows& x) { return linear<Relu>(x, up, bias); }, 2 * kC, {up, bias});
}

TEST(Recompute, ServesConvolutionThatReadsItWhereItLies) {  // with channels last; it copies what lies otherwise, and keeps the copy
  const auto gamma = variable(wave<float, 1>({8}, 1.1)), beta = variable(wave<float, 1>({8}, 2.2));
  const auto w = variable(wave<float, 4>({5, 8, 3, 3}, 0.4));
  for (const bool last : {false, true}) {
    const auto memory = last ? wave<float, 4>({2, 10, 16, 8}, 0.2) : wave<float, 4>({2, 8, 10, 16}, 0.2);
    const auto x = variable(last ? Tensor<float, 4>(memory.permute({0, 3, 1, 2})) : memory);
    const auto loss = [&]() -> AnyTensor {
      const auto y = conv2d(group_norm_silu(group_norm(x, 4, gamma, beta), 2, gamma, beta), w);
      return sum(y * y);
    };
    const std::vector<AnyTensor> variables = {x, w, gamma, beta};
    const Outcome kept = run(variables, loss, kNever), again = run(variables, loss, 0);
    EXPECT_EQ(again.gradients, kept.gradients);
    EXPECT_EQ(again.again.count("group_norm_silu"), last);
    EXPECT_EQ(kept.kept - again.kept, last ? x.bytes() : 0);
  }
}

TEST(Recompute, OnceForAllWhoReadItAndForViews) {
  const auto x = variable(wave<float, 3>({2, 16, 32}, 0.3));
  const auto gamma = variable(wave<float, 1>({32}, 1.1));
  const auto w = variable(wave<float, 2>({32, 32}, 0.9)), u = variable(wave<float, 2>({32, 32}, 1.9));
  const auto loss = [&]() -> AnyTensor {
    const auto h = rms_norm(x, gamma);
    const auto [q, k] = chunk<2>(h, -1);
    return sum(attention(q, k, k, 2)) + sum(linear(h, w) * linear(h, u));
  };
  const std::vector<AnyTensor> variables = {x, gamma, w, u};
  const Outcome kept = run(variables, loss, kNever), again = run(variables, loss, 0);
  EXPECT_EQ(again.gradients, kept.gradients);
  EXPECT_EQ(again.again, (std::map<std::string, int>{{"rms_norm", 1}}));
  EXPECT_EQ(kept.kept - again.kept, x.bytes());
}

TEST(Recompute, IsMadeFromWhatIsKept) {  // a chain would be gone through again and again
  const auto x = variable(wave<float, 3>({2, 16, 32}, 0.3));
  const auto w = variable(wave<float, 2>({32, 32}, 0.9)), u = variable(wave<float, 2>({32, 32}, 1.9)), v = variable(wave<float, 2>({32, 32}, 2.9));
  const auto loss = [&]() -> AnyTensor { return sum(linear(linear<Silu>(linear<Gelu>(layer_norm(silu(x)), w), u), v)); };
  const std::vector<AnyTensor> variables = {x, w, u, v};
  const Outcome kept = run(variables, loss, kNever), again = run(variables, loss, 0);
  EXPECT_EQ(again.gradients, kept.gradients);
  EXPECT_EQ(again.again, (std::map<std::string, int>{{"layer_norm", 1}, {"linear", 2}}));  // silu(x) is layer_norm's, which is no product
}

TEST(Recompute, InsideACheckpoint) {
  const auto x = variable(wave<float, 3>({2, 16, 32}, 0.3));
  const auto w = variable(wave<float, 2>({32, 32}, 0.9));
  const auto block = [&](const Rows& h) { return linear(linear<Gelu>(layer_norm(h), w), w); };
  const auto loss = [&]() -> AnyTensor { return sum(checkpoint(block, x)); };
  const Outcome kept = run({x, w}, loss, kNever), again = run({x, w}, loss, 0);
  EXPECT_EQ(again.gradients, kept.gradients);
  EXPECT_EQ(again.again, (std::map<std::string, int>{{"layer_norm", 1}, {"linear", 1}}));
}

TEST(Recompute, NotOfWhatWasChangedAndNotFromIt) {
  const RecomputeFrom all(0);
  const auto x = variable(wave<float, 3>({2, 16, 32}, 0.3));
  const auto w = variable(wave<float, 2>({8, 32}, 0.9));
  {
    const auto h = silu(x);
    fill(Tensor<float>(h.detach()), 2.0f);  // before the product reads it: its gradient is of what it read
    backward(sum(linear(h, w)));
    EXPECT_EQ(values(grad(w)), std::vector<double>(8 * 32, 2.0 * 2 * 16));
  }
  const auto y = sum(linear(silu(x), w));
  fill(Tensor<float>(x.detach()), 1.0f);
  EXPECT_EQ(message_of<GradError>([&] { backward(y); }), "silu: a tensor [2, 16, 32] saved for backward was changed since");
}

TEST(Recompute, RefusesASecondBackward) {
  const RecomputeFrom all(0);
  const auto x = variable(wave<float, 3>({2, 16, 32}, 0.3));
  const auto w = variable(wave<float, 2>({8, 32}, 0.9));
  const auto h = silu(x);
  const auto first = sum(linear(h, w)), second = sum(linear(h, w));
  backward(first);
  EXPECT_EQ(message_of<GradError>([&] { backward(second); }), "silu: backward a second time: what it saved is gone; run forward again");
}

TEST(Recompute, CanBeTriedAgainWhenMemoryWasShort) {
  const RecomputeFrom all(0);
  const auto x = variable(wave<float, 3>({2, 64, 32}, 0.3));
  const auto w = variable(wave<float, 2>({8, 32}, 0.9));
  w.touch();  // its version and an activation's differ
  const auto y = linear(silu(x), w);
  const auto dy = wave<float, 3>({2, 64, 8}, 0.7);
  auto& memory = Allocator::instance();
  memory.trim();
  memory.limit(memory.use().used_bytes + dy.bytes() + x.bytes() + 4096);  // for the activation, and not for its gradient
  EXPECT_THROW(backward(y, dy), OutOfMemory);
  memory.limit(0);
  backward(y, dy);
  const auto again = values(grad(w));
  zero_grad(w);
  backward(linear(silu(x), w), dy);
  EXPECT_EQ(again, values(grad(w)));
}

TEST(Recompute, InBf16FromTheRoundedSum) {
  const auto x = variable(wave<bf16, 3>({2, 64, 32}, 0.3));
  const auto w = variable(wave<bf16, 2>({64, 32}, 0.9)), u = variable(wave<bf16, 2>({8, 64}, 1.9));
  const auto loss = [&]() -> AnyTensor { return sum(linear(linear<GeluTanh>(x, w), u)); };
  const Outcome kept = run({x, w, u}, loss, kNever), again = run({x, w, u}, loss, 0);
  EXPECT_EQ(again.gradients[0], kept.gradients[0]);  // only ∂L/∂u reads the activation
  EXPECT_EQ(again.gradients[1], kept.gradients[1]);
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < kept.gradients[2].size(); ++i)
    difference += std::pow(again.gradients[2][i] - kept.gradients[2][i], 2), size += std::pow(kept.gradients[2][i], 2);
  EXPECT_LT(std::sqrt(difference / size), 1.0 / 256);
}

TEST(Recompute, IsForecast) {
  const auto x = variable(empty<float>({256, 128}, kMeta)), w = variable(empty<float>({512, 128}, kMeta)), v = variable(empty<float>({128, 512}, kMeta));
  const auto held = [&](Index from_bytes) {
    const RecomputeFrom from(from_bytes);
    const Index before = MetaMemory::instance().used_bytes;
    const auto loss = sum(linear(linear<Gelu>(layer_norm(x), w), v));
    const Index bytes = MetaMemory::instance().used_bytes - before;
    backward(loss);
    EXPECT_EQ(grad(v).sizes(), v.sizes());
    return bytes;
  };
  EXPECT_EQ(held(kNever) - held(0), 4 * 256 * (128 + 512));
  EXPECT_EQ(held(kNever) - held(4 * 256 * 512), 4 * 256 * 512);
}

}  // namespace
}  // namespace fg
