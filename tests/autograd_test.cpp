// The graph: gradients through views, shared and overlapping parts against differences, what aliases what, and what is refused.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <thread>

#include <nlohmann/json.hpp>

#include <framegrad/autograd/checkpoint.hpp>
#include <framegrad/ops/abs.hpp>
#include <framegrad/ops/add.hpp>
#include <framegrad/ops/affine.hpp>
#include <framegrad/ops/cast.hpp>
#include <framegrad/ops/cat.hpp>
#include <framegrad/ops/clamp.hpp>
#include <framegrad/ops/compare.hpp>
#include <framegrad/ops/div.hpp>
#include <framegrad/ops/exp.hpp>
#include <framegrad/ops/gelu.hpp>
#include <framegrad/ops/log.hpp>
#include <framegrad/ops/matmul.hpp>
#include <framegrad/ops/max.hpp>
#include <framegrad/ops/maximum.hpp>
#include <framegrad/ops/minimum.hpp>
#include <framegrad/ops/mul.hpp>
#include <framegrad/ops/rearrange.hpp>
#include <framegrad/ops/relu.hpp>
#include <framegrad/ops/sin.hpp>
#include <framegrad/ops/sqrt.hpp>
#include <framegrad/ops/sub.hpp>
#include <framegrad/ops/sum.hpp>
#include <framegrad/ops/tanh.hpp>
#include <framegrad/ops/views.hpp>
#include <framegrad/ops/where.hpp>

namespace fg {
namespace {

using Matrix = Tensor<double, 2>;
using Number = Tensor<double, 0>;

Matrix numbers(Index rows, Index columns, double first = 0.3) {
  const auto x = empty<double>({rows, columns});
  for (Index i = 0; i < x.count(); ++i) x.data()[i] = std::sin(first + 1.7 * double(i)) + 0.1;
  return x;
}
std::vector<double> values(const AnyTensor& t) {
  const AnyTensor wide = converted(row_major_copy(t.detach()), Dtype::f64);
  const auto* p = static_cast<const double*>(wide.raw());
  return {p, p + wide.count()};
}
template <class E, class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "nothing was thrown";
}

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

TEST(Anomaly, NamesTheFirstOpThatMadeANaN) {
  set_detect_anomaly(true);
  const auto x = variable(tensor<double, 1>({2}, {1, 0}));
  EXPECT_EQ(message_of<GradError>([&] { exp(log(x - 0.5)); }), "log: forward made a NaN, at element 1 of [2]");
  const auto y = sum(sqrt(x) * 0.0);  // at 0: the slope is ∞, times 0
  EXPECT_EQ(message_of<GradError>([&] { backward(y); }), "sqrt: backward made a NaN, at element 1 of [2]");
  set_detect_anomaly(false);
  EXPECT_TRUE(std::isnan(log(x - 0.5)(1)));
}

TEST(TraceTest, WritesWhatChromeReads) {
  auto& trace = Trace::instance();
  const Matrix x = variable(numbers(8, 8));
  trace.start();
  backward(sum(matmul(x, x)));
  trace.stop();
  exp(x);
  trace.events.push_back({"late", "forward", 123456789.125, 0.5, 0, 0});
  const std::string path = testing::TempDir() + "framegrad_trace.json";
  trace.write(path);
  const auto json = nlohmann::json::parse(std::ifstream(path));
  std::map<std::string, nlohmann::json> by_name;
  for (const auto& e : json.at("traceEvents")) by_name[e.at("name").get<std::string>() + " " + e.at("cat").get<std::string>()] = e;
  EXPECT_EQ(by_name.size(), 5u);
  const auto& product = by_name.at("matmul forward");
  EXPECT_EQ(product.at("ph"), "X");
  EXPECT_EQ(product.at("args").at("flops"), 2 * 8 * 8 * 8);
  EXPECT_EQ(product.at("args").at("bytes"), 3 * 8 * 8 * 8);
  EXPECT_GE(product.at("dur").get<double>(), 0);
  EXPECT_GE(by_name.at("matmul backward").at("ts"), product.at("ts"));
  EXPECT_EQ(by_name.at("matmul backward").at("args").at("flops"), 4 * 8 * 8 * 8);
  EXPECT_EQ(by_name.at("matmul backward").at("args").at("bytes"), 5 * 8 * 8 * 8);  // both factors, the product's gradient, theirs
  EXPECT_EQ(by_name.count("exp forward"), 0u);
  EXPECT_EQ(by_name.at("late forward").at("ts"), 123456789.125);  // minutes into a run, still to the nanosecond
  trace.events.clear();
  EXPECT_THROW(trace.write("/nowhere/trace.json"), FileError);
}

}  // namespace
}  // namespace fg
