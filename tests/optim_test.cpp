// AdamW, clipping, learning rates and the moving average: against plain loops in double, against numbers of PyTorch 2.15,
// and bit for bit over thread counts and after a resume.
#include <gtest/gtest.h>

#include <framegrad/optim/clip.hpp>
#include <framegrad/optim/ema.hpp>
#include <framegrad/optim/schedule.hpp>

namespace {

using namespace fg;

void set_grad(const Slot& slot, const std::function<double(Index)>& value) {
  const AnyTensor& w = slot.value;
  const Dtype held = w.dtype() == Dtype::f64 ? Dtype::f64 : Dtype::f32;
  AnyTensor g = AnyTensor::empty(held, w.sizes(), w.strides(), kCpu);
  for (Index i = 0; i < g.count(); ++i) {
    if (held == Dtype::f64) static_cast<double*>(g.raw())[i] = value(i);
    else static_cast<float*>(g.raw())[i] = float(value(i));
  }
  static_cast<Leaf&>(*w.node()).grad = g;
}

double gradient(std::size_t tensor, Index i, int step) { return std::sin(0.37 * double(i) + 1.3 * double(tensor) + 0.9 * step) * 0.2; }

template <class T> T* data(const std::shared_ptr<Slot>& s) { return static_cast<T*>(s->value.raw()); }

bool same_bits(const AnyTensor& a, const AnyTensor& b) { return a.bytes() == b.bytes() && std::memcmp(a.raw(), b.raw(), std::size_t(a.bytes())) == 0; }

/// Two layers of odd sizes, one larger than a chunk.
template <class T>
Params model(std::uint64_t seed = 3) {
  const Params p(seed);
  p.tensor<T, 2>("a.weight", {37, 501}, init::normal(0.5));
  p.tensor<T, 1>("a.bias", {7}, init::normal(0.5));
  p.buffer<T, 1>("table", {5}, init::normal(1));
  p.tensor<T, 3>("b.weight", {3, 5, 11}, init::normal(0.5));
  return p;
}

AdamWOptions with_groups() {
  return {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.05,
          .groups = {{[](const std::string& n) { return n.ends_with("bias"); }, 2.0, 0.0}}};
}

/// The equations of the header, in double.
template <class T>
void expect_follows_the_equations(double tolerance) {
  const Params p = model<T>();
  AdamW adamw(p, with_groups());
  const auto slots = p.trainable();
  std::vector<std::vector<double>> w, m, v;
  for (const auto& s : slots) {
    std::vector<double> start(std::size_t(s->value.count()));
    for (std::size_t i = 0; i < start.size(); ++i) start[i] = double(data<T>(s)[i]);
    m.emplace_back(start.size()), v.emplace_back(start.size()), w.push_back(start);
  }
  for (int k = 1; k <= 12; ++k) {
    const double lr = 0.01 / k, scale = 0.75;
    for (std::size_t t = 0; t < slots.size(); ++t) {
      set_grad(*slots[t], [&](Index i) { return gradient(t, i, k); });
      const bool bias = slots[t]->name == "a.bias";
      const double rate = lr * (bias ? 2 : 1), decay = bias ? 0 : 0.05;
      for (std::size_t i = 0; i < w[t].size(); ++i) {
        const double g = gradient(t, Index(i), k) * scale;
        w[t][i] -= rate * decay * w[t][i];
        m[t][i] = 0.9 * m[t][i] + 0.1 * g;
        v[t][i] = 0.99 * v[t][i] + 0.01 * g * g;
        w[t][i] -= rate * (m[t][i] / (1 - std::pow(0.9, k))) / (std::sqrt(v[t][i] / (1 - std::pow(0.99, k))) + 1e-8);
      }
    }
    adamw.step(lr, scale);
  }
  for (std::size_t t = 0; t < slots.size(); ++t) {
    const AnyTensor full = adamw.weight(*slots[t]);
    double worst = 0;
    for (Index i = 0; i < full.count(); ++i) {
      const double ours = full.dtype() == Dtype::f64 ? static_cast<double*>(full.raw())[i] : double(static_cast<float*>(full.raw())[i]);
      worst = std::max(worst, std::abs(ours - w[t][std::size_t(i)]));
      ASSERT_EQ(float(data<T>(slots[t])[i]), float(T(accum_t<T>(ours))));  // the weight is its master, rounded
    }
    EXPECT_LT(worst, tolerance) << slots[t]->name;
  }
}

// Weights stay below 4 (unit 2.4e-7 in f32), updates below 0.02: twelve steps round a weight by half a unit each, their sum by 1.5e-6;
// the update's own error is some 1e-7 of 0.02. In double 2^29 times less.
TEST(AdamW, FollowsTheEquations) {
  expect_follows_the_equations<float>(2e-6);
  expect_follows_the_equations<double>(4e-15);
  expect_follows_the_equations<bf16>(2e-6);  // the masters are f32
  expect_follows_the_equations<half>(2e-6);
}

TEST(AdamW, EqualsPyTorch) {
  const Params p;
  const double w0[] = {0.5, -1.25, 2.0, 0.0, -0.001}, u0[] = {1, -2, 3};
  p.tensor<double, 1>("w", {5}, [&](double* v, const Shape&, std::uint64_t) { std::copy_n(w0, 5, v); });
  p.tensor<double, 1>("u", {3}, [&](double* v, const Shape&, std::uint64_t) { std::copy_n(u0, 3, v); });
  AdamW adamw(p, {.beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6, .weight_decay = 0.1, .groups = {{[](const std::string& n) { return n == "u"; }, 3.0, 0.0}}});
  const double norms[] = {2.737699764400764, 2.799107000455681, 2.552449803620043, 2.4929901724635815, 2.7721832551258223, 2.737699764400764};
  for (int k = 0; k < 6; ++k) {
    set_grad(*p.find("w"), [&](Index i) { return double((i * 7 + k * 3) % 5 - 2) * 0.3 + 0.05 * double(i); });
    set_grad(*p.find("u"), [&](Index i) { return double((i * 5 + k * 2) % 7 - 3) * 0.7; });
    const double norm = grad_norm(p);
    EXPECT_NEAR(norm, norms[k], 1e-14);
    adamw.step(0.01, clip_factor(norm, 1.0));
  }
  const double w[] = {0.5126689231605557, -1.2476929531533538, 1.962411942395091, -0.007124799547191744, -0.03846695188284942};
  const double u[] = {1.0602222572148672, -2.015571140357347, 2.9942925562458123};
  for (int i = 0; i < 5; ++i) EXPECT_NEAR(data<double>(p.find("w"))[i], w[i], 1e-14);
  for (int i = 0; i < 3; ++i) EXPECT_NEAR(data<double>(p.find("u"))[i], u[i], 1e-14);
}

TEST(AdamW, KeepsSmallUpdatesOfBf16InTheMaster) {
  const Params p;
  p.tensor<bf16, 1>("w", {3}, init::ones());
  AdamW adamw(p);
  for (int k = 0; k < 500; ++k) {
    set_grad(*p.find("w"), [](Index) { return 1.0; });
    adamw.step(2e-5);  // 1 − 2e-5 rounds to 1 in bf16; five hundred of them don't
  }
  EXPECT_EQ(float(data<bf16>(p.find("w"))[0]), float(bf16(0.99f)));
}

TEST(AdamW, LeavesAloneWhatHasNoGradient) {
  const Params p = model<float>();
  AdamW adamw(p, with_groups());
  const AnyTensor before = row_major_copy(p.find("b.weight")->value), table = row_major_copy(p.find("table")->value);
  const auto version = p.find("a.bias")->value.storage()->version();
  for (int k = 0; k < 3; ++k) {
    set_grad(*p.find("a.bias"), [](Index) { return 1.0; });
    adamw.step(0.1);
  }
  EXPECT_TRUE(same_bits(before, p.find("b.weight")->value));
  EXPECT_TRUE(same_bits(table, p.find("table")->value));
  EXPECT_GT(p.find("a.bias")->value.storage()->version(), version);  // a change is announced to backward
  // Its first step is corrected as a first one: lr·sign(g), whatever the others have done.
  set_grad(*p.find("b.weight"), [](Index) { return 0.3; });
  adamw.step(0.1);
  EXPECT_NEAR(data<float>(p.find("b.weight"))[0], static_cast<float*>(before.raw())[0] * (1 - 0.1 * 0.05) - 0.1, 1e-6);
}

TEST(AdamW, RefusesWeightsItWasNotMadeFor) {
  const Params p;
  p.tensor<float, 1>("w", {4}, init::ones());
  AdamW adamw(p);
  p.find("w")->value = variable(converted(p.find("w")->value.detach(), Dtype::bf16), "w");
  set_grad(*p.find("w"), [](Index) { return 1.0; });
  EXPECT_THROW(adamw.step(0.1), ConfigError);
  EXPECT_THROW(AdamW(p, {.beta1 = 1.0}), ConfigError);
}

template <class T>
void run_steps(const Params& p, AdamW& adamw, Ema& ema, int from, int to) {
  const auto slots = p.trainable();
  for (int k = from; k < to; ++k) {
    for (std::size_t t = 0; t < slots.size(); ++t)
      if ((k + int(t)) % 3) set_grad(*slots[t], [&](Index i) { return gradient(t, i, k); });
    adamw.step(0.01, clip_factor(grad_norm(p), 1.0));
    ema.update(&adamw);
    p.zero_grad();
  }
}

NamedTensors copies(const NamedTensors& from) {
  NamedTensors c;
  for (const auto& [name, t] : from) c.push_back({name, row_major_copy(t)});
  return c;
}

void expect_same(const NamedTensors& a, const NamedTensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].name, b[i].name);
    EXPECT_TRUE(same_bits(a[i].tensor, b[i].tensor)) << a[i].name;
  }
}

template <class T>
void expect_same_bits_for_threads_and_resume() {
  const int before = threads();
  set_threads(1);
  const Params one = model<T>();
  AdamW adamw_one(one, with_groups());
  Ema ema_one(one, {.decay = 0.99, .warmup = true});
  run_steps<T>(one, adamw_one, ema_one, 0, 9);

  set_threads(3);
  const Params three = model<T>();
  AdamW adamw_three(three, with_groups());
  Ema ema_three(three, {.decay = 0.99, .warmup = true});
  run_steps<T>(three, adamw_three, ema_three, 0, 4);

  const Params resumed = model<T>(99);  // other weights: all must come from the state
  AdamW adamw(resumed, with_groups());
  Ema ema(resumed, {.decay = 0.99, .warmup = true});
  restore(named_tensors(resumed), copies(named_tensors(three)), "weights");
  adamw.load(copies(adamw_three.state()));
  ema.load(copies(ema_three.state()));
  run_steps<T>(three, adamw_three, ema_three, 4, 9);
  run_steps<T>(resumed, adamw, ema, 4, 9);
  set_threads(before);

  expect_same(named_tensors(one), named_tensors(three));
  expect_same(adamw_one.state(), adamw_three.state());
  expect_same(ema_one.state(), ema_three.state());
  expect_same(named_tensors(one), named_tensors(resumed));
  expect_same(adamw_one.state(), adamw.state());
  expect_same(ema_one.state(), ema.state());
}
TEST(Optim, SameBitsForAnyThreadsAndAfterAResume) {
  expect_same_bits_for_threads_and_resume<float>();
  expect_same_bits_for_threads_and_resume<bf16>();
  expect_same_bits_for_threads_and_resume<double>();
}

TEST(AdamW, StateIsStrict) {
  const Params p = model<float>();
  AdamW adamw(p);
  NamedTensors s = copies(adamw.state());
  s.erase(s.begin());
  s.push_back({"m.other", s[0].tensor});
  try {
    adamw.load(s, "optimizer.safetensors");
    FAIL();
  } catch (const FileError& e) {
    const std::string what = e.what();
    EXPECT_NE(what.find("optimizer.safetensors"), std::string::npos);
    EXPECT_NE(what.find("1 missing: m.a.weight"), std::string::npos) << what;
    EXPECT_NE(what.find("1 unexpected: m.other"), std::string::npos) << what;
  }
}

TEST(Clip, NormOfLargeSmallAndBrokenGradients) {
  const auto norm_of = [](std::initializer_list<float> v) { return global_norm({tensor<float, 1>({Index(v.size())}, v)}); };
  EXPECT_DOUBLE_EQ(norm_of({3, 4}), 5);
  EXPECT_NEAR(norm_of({3e30f, 4e30f}) / 5e30, 1, 1e-6);    // the squares leave f32's range, above
  EXPECT_NEAR(norm_of({3e-30f, 4e-30f}) / 5e-30, 1, 1e-6);  // and below
  EXPECT_TRUE(std::isnan(norm_of({1, NAN})));
  EXPECT_TRUE(std::isinf(norm_of({1, INFINITY})));
  EXPECT_EQ(global_norm({}), 0);
  EXPECT_EQ(clip_factor(0.5, 1.0), 1);
  EXPECT_EQ(clip_factor(1.0, 1.0), 1 / (1 + 1e-6));  // the small number is added before the comparison
  EXPECT_DOUBLE_EQ(clip_factor(4.0, 2.0), 1 / ((4.0 + 1e-6) / 2));
  EXPECT_THROW(clip_factor(NAN, 1.0), ConfigError);
  EXPECT_THROW(clip_factor(1.0, 0.0), ConfigError);
}

TEST(Clip, SameBitsForAnyThreads) {
  auto g = empty<float>({1000003});
  for (Index i = 0; i < g.count(); ++i) g.data()[i] = float(gradient(0, i, 1));
  const int before = threads();
  set_threads(1);
  const double one = global_norm({g, g});
  set_threads(4);
  const double four = global_norm({g, g});
  set_threads(before);
  EXPECT_EQ(one, four);
  long double sum = 0;
  for (Index i = 0; i < g.count(); ++i) sum += 2 * static_cast<long double>(g.data()[i]) * g.data()[i];
  EXPECT_NEAR(one / double(std::sqrt(sum)), 1, 1e-14);
}

TEST(LrSchedule, EqualsPyTorch) {
  using enum LrSchedule::Curve;
  const LrSchedule annealed{.curve = cosine, .peak = 0.5, .floor = 0.1, .decay_steps = 10};
  const double a[] = {0.5, 0.49021130325903073, 0.46180339887498956, 0.41755705045849467, 0.3618033988749896, 0.3, 0.2381966011250106, 0.18244294954150542,
                      0.13819660112501053, 0.1097886967409693, 0.1};
  for (int k = 0; k < 11; ++k) EXPECT_NEAR(annealed(k), a[k], 1e-14) << k;
  EXPECT_EQ(annealed(1000), 0.1);
  const LrSchedule restarts{.curve = cosine_restarts, .peak = 0.5, .floor = 0.1, .decay_steps = 3, .growth = 2};
  const double r[] = {0.5, 0.4, 0.2, 0.5, 0.47320508075688783, 0.4, 0.3, 0.2, 0.12679491924311226, 0.5, 0.49318516525781364, 0.47320508075688783,
                      0.4414213562373095, 0.4};
  for (int k = 0; k < 14; ++k) EXPECT_NEAR(restarts(k), r[k], 1e-14) << k;
}

TEST(LrSchedule, WarmUpAndNames) {
  using enum LrSchedule::Curve;
  const LrSchedule constant_rate{.peak = 1, .warmup_steps = 4};
  for (int k = 0; k < 4; ++k) EXPECT_DOUBLE_EQ(constant_rate(k), 0.25 * (k + 1));
  EXPECT_EQ(constant_rate(1000000), 1);
  const LrSchedule falling{.curve = linear, .peak = 1, .floor = 0.2, .warmup_steps = 2, .decay_steps = 4};
  const double expected[] = {0.5, 1, 1, 0.8, 0.6, 0.4, 0.2, 0.2};
  for (int k = 0; k < 8; ++k) EXPECT_DOUBLE_EQ(falling(k), expected[k]) << k;
  for (const auto c : {constant, linear, cosine, cosine_restarts}) EXPECT_EQ(lr_curve(name_of(c)), c);
  EXPECT_THROW(lr_curve("cosin"), ConfigError);
  EXPECT_THROW((LrSchedule{.decay_steps = 0}(0)), ConfigError);
}

TEST(Ema, AveragesAndExchanges) {
  const Params p = model<float>();
  Ema ema(p, {.decay = 0.9, .warmup = true});
  const auto slot = p.find("a.bias");
  const double start = data<float>(slot)[2];
  double expected = start;
  for (int n = 0; n < 30; ++n) {
    data<float>(slot)[2] += 0.25f;
    const double d = std::min(0.9, (1.0 + n) / (10.0 + n));
    expected = d * expected + (1 - d) * (start + 0.25 * (n + 1));
    ema.update();
  }
  const NamedTensors weights = copies(named_tensors(p));
  const auto leaf = slot->value.node();
  {
    const Ema::Scope sampling(ema);
    EXPECT_NEAR(data<float>(slot)[2], expected, 1e-5);  // 30 roundings of a number below 16: half of 9.5e-7 each
    EXPECT_TRUE(same_bits(p.find("table")->value, weights[2].tensor));
    EXPECT_EQ(slot->value.node(), leaf);  // still the same variable
    EXPECT_THROW(ema.update(), ConfigError);
  }
  expect_same(named_tensors(p), weights);
}

TEST(Ema, RoundsForBf16AndGivesTheWeightsBack) {
  const Params p = model<bf16>();
  Ema ema(p, {.decay = 0.5});
  data<bf16>(p.find("a.bias"))[0] = bf16(1.0f);
  ema.update();
  const NamedTensors weights = copies(named_tensors(p));
  const float average = *static_cast<const float*>(ema.averages()[1].tensor.raw());
  ema.swap();
  EXPECT_EQ(data<bf16>(p.find("a.bias"))[0].bits, bf16(average).bits);
  ema.swap();
  expect_same(named_tensors(p), weights);
}

}  // namespace
