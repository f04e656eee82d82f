// Schedules, samplers, guidance and losses: the tables and identities of specs D and H.1 (16–22), and problems with a known answer.
#include <gtest/gtest.h>

#include <framegrad/diffusion/dpm_solver.hpp>
#include <framegrad/diffusion/guidance.hpp>
#include <framegrad/diffusion/iddpm.hpp>
#include <framegrad/diffusion/rectified_flow.hpp>
#include <framegrad/ops/cat.hpp>
#include <framegrad/ops/div.hpp>

namespace {

using namespace fg;

template <class T, int R>
double at(const Tensor<T, R>& t, Index i) {
  return double(static_cast<const T*>(row_major_copy(t.detach()).raw())[i]);
}
template <class T, int R>
double greatest_difference(const Tensor<T, R>& a, const Tensor<T, R>& b) {
  double d = 0;
  for (Index i = 0; i < a.count(); ++i) d = std::max(d, std::abs(at(a, i) - at(b, i)));
  return d;
}

// --- schedules

struct Row { Index k, t; double beta, alpha_bar, posterior, log_beta, c1, c2; };

void expect_rows(const NoiseSchedule& s, std::initializer_list<Row> rows) {
  for (const Row& r : rows) {
    const auto k = std::size_t(r.k);
    EXPECT_EQ(s.timestep[k], r.t);
    const auto near = [&](double got, double wanted) { EXPECT_NEAR(got, wanted, 5e-12 * std::max(std::abs(wanted), 1e-3)) << "step " << r.k; };
    near(s.beta[k], r.beta), near(s.alpha_bar[k], r.alpha_bar), near(s.posterior_log_variance[k], r.posterior);
    near(s.log_beta[k], r.log_beta), near(s.x0_weight[k], r.c1), near(s.xk_weight[k], r.c2);
  }
}

TEST(NoiseSchedule, Tables) {
  const auto full = linear_schedule();
  ASSERT_EQ(full.steps(), 1000);
  expect_rows(full, {{0, 0, 1.0e-4, 0.9999, -9.81672513529595, -9.21034037197629, 1, 0},
                     {1, 1, 1.19919919919886e-4, 0.999780092072072, -9.81672513529595, -9.02868637194962, 0.545291499510138, 0.45470849899053},
                     {500, 500, 0.01005995995996, 0.0777966583650239, -4.6000497399849, -4.59919209444172, 0.00305805707562963, 0.994104350756726},
                     {999, 999, 0.02, 4.03582976537568e-05, -3.91202382910045, -3.91202300542815, 1.28351487172247e-4, 0.989948678267517}});
  expect_rows(respaced(full, 100), {{0, 0, 1.0e-4, 0.9999, -9.25690308114835, -9.21034037197629, 1, 0},
                                    {1, 10, 0.00209363685583963, 0.997806572507846, -9.25690308114835, -6.16885260285302, 0.954456976065232, 0.0455429977355778},
                                    {50, 505, 0.105258078907978, 0.0739391247214384, -2.26077718276516, -2.25134005014479, 0.0326741397920458, 0.937023317364098},
                                    {99, 999, 0.182179530858739, 4.03582976537568e-05, -1.70277163552978, -1.70276264482117, 0.00127983663769918, 0.904326137907344}});
}

TEST(NoiseSchedule, RespacedIndices) {
  std::vector<Index> expected;
  for (Index k = 0, t = 0; k < 100; ++k, t += 10) {
    if (k >= 6 && (k - 6) % 11 == 0) ++t;  // 61, 172, 283, …, 949
    expected.push_back(t);
  }
  EXPECT_EQ(spaced_steps(1000, "100"), expected);
  EXPECT_EQ(expected[6], 61);
  EXPECT_EQ(expected.back(), 999);
  EXPECT_EQ(spaced_steps(1000, "10"), (std::vector<Index>{0, 111, 222, 333, 444, 555, 666, 777, 888, 999}));
  const auto starts = [](std::string_view spacing, const std::vector<Index>& first) {
    const auto s = spaced_steps(1000, spacing);
    return std::vector<Index>(s.begin(), s.begin() + std::ptrdiff_t(first.size())) == first && s.back() == 999;
  };
  EXPECT_TRUE(starts("50", {0, 20, 41, 61, 82, 102, 122, 143}));
  EXPECT_TRUE(starts("20", {0, 53, 105, 158, 210}));
  EXPECT_TRUE(starts("250", {0, 4, 8, 12}));
  const auto s250 = spaced_steps(1000, "250");
  EXPECT_EQ((std::vector<Index>(s250.end() - 3, s250.end())), (std::vector<Index>{991, 995, 999}));
  EXPECT_EQ(spaced_steps(1000, "1"), std::vector<Index>{0});
  EXPECT_EQ(spaced_steps(1000, "1000").size(), 1000u);
}

TEST(NoiseSchedule, SectionsAndStrides) {
  EXPECT_EQ(spaced_steps(10, "2,3,1"), (std::vector<Index>{0, 3, 4, 5, 6, 7}));  // sections of 4, 3 and 3
  const auto three = spaced_steps(300, "10,15,20");
  EXPECT_EQ(three.size(), 45u);
  EXPECT_EQ((std::vector<Index>(three.begin(), three.begin() + 3)), (std::vector<Index>{0, 11, 22}));
  EXPECT_EQ((std::vector<Index>(three.begin() + 9, three.begin() + 12)), (std::vector<Index>{99, 100, 107}));
  EXPECT_EQ(three.back(), 299);
  const auto strided = spaced_steps(1000, "ddim50");
  EXPECT_EQ(strided.size(), 50u);
  EXPECT_EQ(strided[1], 20);
  EXPECT_EQ(strided.back(), 980);
  EXPECT_THROW(spaced_steps(1000, "ddim600"), ConfigError);  // stride 1 gives 1000, stride 2 gives 500
  for (const char* bad : {"", "0", "-1", "10,", "x", "ddim", "1001", "10 20"}) EXPECT_THROW(spaced_steps(1000, bad), ConfigError) << bad;
  EXPECT_THROW(respaced(linear_schedule(), std::vector<Index>{3, 3}), ConfigError);
  EXPECT_THROW(respaced(linear_schedule(), std::vector<Index>{1000}), ConfigError);
}

TEST(NoiseSchedule, RespacedAlphaBarIsTheFullOne) {
  const auto full = linear_schedule();
  const auto s = respaced(full, 100);
  double product = 1;
  for (Index k = 0; k < s.steps(); ++k) {
    const auto i = std::size_t(k);
    EXPECT_EQ(s.alpha_bar[i], full.alpha_bar[std::size_t(s.timestep[i])]);
    product *= 1 - s.beta[i];
    EXPECT_NEAR(product / s.alpha_bar[i], 1, 1e-13);  // 100 roundings
    // x_t = √ᾱ·x₀ exactly: the posterior's mean is √ᾱ_{k−1}·x₀. Near k = 0 the weights are quotients of small differences.
    EXPECT_NEAR(s.x0_weight[i] + s.xk_weight[i] * s.signal(k), std::sqrt(s.alpha_bar_prev[i]), 1e-11);
  }
}

// --- the ancestral sampler and its loss

TEST(Iddpm, KnownChains) {
  const auto model = [](const Tensor<float, 5>& x, const Tensor<float, 1>&) { return cat({x * 0.3, x * 0 + 0.2}, 1); };
  const auto run = [&](Index K, float n, double* first_factor) {
    const auto start = tensor<float, 5>({1, 1, 1, 1, 4}, {1, -0.5f, 0.25f, 2});
    const auto s = respaced(linear_schedule(), K);
    if (first_factor) {
      const auto p = split_prediction<float, 5>(model(start, timesteps(1, 999)), start, "test");
      *first_factor = at(iddpm_step(s, start, {K - 1}, p).mean, 0);
    }
    return iddpm_sample(s, model, start, [&](const Tensor<float, 5>& x) { return x * 0 + n; });
  };
  const auto expect = [](const Tensor<float, 5>& got, std::initializer_list<double> wanted) {
    Index i = 0;
    for (const double w : wanted) {
      EXPECT_NEAR(at(got, i), w, 1e-4 * std::abs(w));
      ++i;
    }
  };
  double factor = 0;
  expect(run(10, 0, &factor), {20.613234, -10.306617, 5.153308, 41.226467});
  EXPECT_NEAR(factor, 2.122944832, 2e-6);
  expect(run(10, 1, nullptr), {41.822117, 10.902266, 26.362192, 62.435356});
  expect(run(100, 0, &factor), {5.990989, -2.995495, 1.497747, 11.981979});
  EXPECT_NEAR(factor, 1.045349121, 1e-6);
  expect(run(100, 1, nullptr), {66.714958, 57.728500, 62.221756, 72.705963});
}

template <class T>
IddpmLoss<T> constant_loss(Index k, double v, double noise_hat = 0) {
  const auto zero = zeros<T>({1, 2, 1, 2, 2});
  const auto model = [&](const Tensor<T, 5>& x, const Tensor<float, 1>&) { return cat({x * 0 + noise_hat, x * 0 + v}, 1); };
  return iddpm_loss(linear_schedule(), model, zero, {k}, zero);
}

TEST(Iddpm, LossOfThePerfectPredictor) {
  struct { Index k; double v, vb; } const rows[] = {{1, -1, 0},         {1, 0, 0.0493115},    {1, 1, 0.1751246},  {0, -1, 1.3056655},
                                                    {0, 0, 1.5071435}, {0, 1, 1.7130142}, {500, 1, 2.6e-7}, {500, -1, 0}};
  for (const auto& r : rows) {
    const auto exact = constant_loss<double>(r.k, r.v);
    EXPECT_EQ(at(exact.mse, 0), 0);
    EXPECT_NEAR(at(exact.vb, 0), r.vb, r.k == 500 ? 1e-8 : 5e-7) << r.k << " " << r.v;
    EXPECT_NEAR(at(constant_loss<float>(r.k, r.v).vb, 0), r.vb, 3e-6);  // a sum of three terms near 1, cancelling
    EXPECT_EQ(at(exact.total, 0), at(exact.mse, 0) + at(exact.vb, 0));
  }
  EXPECT_NEAR(at(constant_loss<double>(300, 0.3, 0.5).mse, 0), 0.25, 1e-15);
}

TEST(Iddpm, EachPartOfTheLossReachesItsHalf) {
  const auto x0 = tensor<double, 3>({2, 1, 3}, {0.3, -1.0, 1.0, 0.2, -0.4, 0.1}), noise = tensor<double, 3>({2, 1, 3}, {-1, 0.5, 0.2, 0.7, 0.1, -2});
  for (const bool of_vb : {false, true}) {
    const auto out = variable(tensor<double, 3>({2, 2, 3}, {0.1, 0.2, 0.3, -0.4, 0.5, 0.6, 0.65, -0.8, 0.9, 0.1, 0.3, -0.2}));
    const auto l = iddpm_loss(linear_schedule(), [&](const Tensor<double, 3>&, const Tensor<float, 1>&) { return out; }, x0, {0, 700}, noise);
    backward(sum(of_vb ? l.vb : l.mse));
    const auto d = grad(out);
    for (Index b = 0; b < 2; ++b)
      for (Index i = 0; i < 3; ++i) {
        EXPECT_EQ(d(b, of_vb ? 0 : 1, i), 0);
        EXPECT_NE(d(b, of_vb ? 1 : 0, i), 0) << of_vb << b << i;
      }
  }
}

TEST(Iddpm, GradientOfTheBoundIsItsSlope) {
  const auto x0 = tensor<double, 2>({3, 2}, {-1.0, 1.0, 0.3, -0.2, 0.5, 0.9}), noise = tensor<double, 2>({3, 2}, {-1, 0.5, 0.2, 0.7, 0.1, -2});
  const auto eps_hat = tensor<double, 2>({3, 2}, {-0.8, 0.4, 0.1, 0.9, 0.3, -1});
  const std::vector<Index> k{0, 0, 400};
  const auto total = [&](const Tensor<double, 2>& v) {
    return iddpm_loss(linear_schedule(), [&](const Tensor<double, 2>&, const Tensor<float, 1>&) { return cat({eps_hat, v}, 1); }, x0, k, noise).total;
  };
  const std::vector<double> values{0.2, -0.4, 0.7, 0.1, -0.9, 0.5};
  const auto v = variable(tensor<double, 2>({3, 2}, values));
  backward(total(v));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto shifted = [&](double by) {
      auto moved = values;
      moved[i] += by;
      return total(tensor<double, 2>({3, 2}, moved)).item();
    };
    const double slope = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
    EXPECT_NEAR(at(grad(v), Index(i)), slope, 1e-6 * std::abs(slope) + 1e-9);
  }
}

TEST(Iddpm, WithoutVarianceTheLossIsTheSquareAlone) {
  const auto x0 = tensor<float, 2>({2, 2}, {1, 2, 3, 4});
  const auto l = iddpm_loss(linear_schedule(), [](const Tensor<float, 2>& x, const Tensor<float, 1>&) { return x * 0; }, x0, {5, 900}, full<float>({2, 2}, 2.0f));
  EXPECT_EQ(at(l.loss, 0), 4);
  EXPECT_EQ(at(l.vb, 1), 0);
  const auto wrong = [](const Tensor<float, 2>& x, const Tensor<float, 1>&) { return cat({x, x, x}, 1); };
  EXPECT_THROW(iddpm_loss(linear_schedule(), wrong, x0, {5, 900}, x0), ShapeError);
  EXPECT_THROW(iddpm_loss(linear_schedule(), wrong, x0, {5}, x0), ShapeError);
  EXPECT_THROW(iddpm_loss(linear_schedule(), wrong, x0, {5, 1000}, x0), ShapeError);
}

TEST(Iddpm, ModelIsToldTheOriginalTimestep) {
  std::vector<float> told;
  const auto model = [&](const Tensor<float, 2>& x, const Tensor<float, 1>& t) {
    EXPECT_EQ(t.size(0), 3);
    told.push_back(t(2));
    return x * 0;
  };
  iddpm_sample(respaced(linear_schedule(), 4), model, zeros<float>({3, 1}), [](const Tensor<float, 2>& x) { return x * 0; });
  EXPECT_EQ(told, (std::vector<float>{999, 666, 333, 0}));
}

// --- guidance

TEST(Guidance, WorkedValue) {
  const auto model = [](const Tensor<float, 5>& x, const Tensor<float, 1>& t) {
    EXPECT_EQ(x.size(0), 4);
    EXPECT_EQ(t.size(0), 4);
    auto out = empty<float>({4, 8, 1, 1, 1});
    for (Index b = 0; b < 4; ++b)
      for (Index c = 0; c < 8; ++c) out(b, c, 0, 0, 0) = b < 2 ? float(c) : float(10 * c + 1);  // two samples: [cond, cond, null, null]
    return out;
  };
  const auto x = zeros<float>({2, 4, 1, 1, 1});
  const auto kept = [&](double scale, Index channels) {
    const auto y = guided(model, scale, channels)(x, timesteps(2, 7));
    EXPECT_EQ(y.sizes(), (Shape{2, 8, 1, 1, 1}));
    std::vector<double> v;
    for (Index c = 0; c < 8; ++c) v.push_back(at(y, 8 + c));
    return v;
  };
  EXPECT_EQ(kept(7, 3), (std::vector<double>{-6, -59, -112, 3, 4, 5, 6, 7}));
  EXPECT_EQ(kept(7, kAllChannels), (std::vector<double>{-6, -59, -112, -165, 4, 5, 6, 7}));
  EXPECT_EQ(kept(1, 3), (std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(kept(0, 3), (std::vector<double>{1, 11, 21, 3, 4, 5, 6, 7}));
  EXPECT_THROW(guided(model, 7, 5)(x, timesteps(2, 7)), ConfigError);
}

TEST(Guidance, TwoConditions) {
  // Rows give `both`, `first` and `none` in groups; x is equal in all.
  const auto model = [](double both, double first, double none) {
    return [=](const Tensor<double, 3>& x, const Tensor<float, 1>&) {
      const Index n = x.size(0) / 2;
      auto y = empty<double>({2 * n, 2, 1});
      const double values[3] = {both, first, none};
      for (Index i = 0; i < 4 * n; ++i) y.data()[i] = values[i / 4] + 0.125 * double(i % 2);
      return y;
    };
  };
  const auto x = zeros<double>({2, 2, 1});
  const auto two = [&](double b, double f, double n, double s1, double s2) { return guided_by_two(model(b, f, n), s1, s2, kAllChannels)(x, timesteps(2, 0)); };
  EXPECT_EQ(at(two(1, 0, 0, 7, 12.5), 0), 12.5);
  EXPECT_EQ(at(two(0, 1, 0, 7, 12.5), 0), -5.5);
  EXPECT_EQ(at(two(0, 0, 1, 7, 12.5), 0), -6);
  EXPECT_EQ(at(two(0.3, 0.3, 0.3, 7, 12.5), 1), 0.425 * 12.5 - 0.425 * 5.5 - 0.425 * 6);                   // the weights' sum is 1
  EXPECT_NEAR(at(two(0.3, 0.9, -0.2, 5, 5), 0), -0.2 + 5 * (0.3 + 0.2), 1e-15);                              // equal scales: both against none
  const auto single = guided([&](const Tensor<double, 3>& y, const Tensor<float, 1>& t) { return model(0.3, -0.2, 0)(y, t); }, 7, kAllChannels)(x, timesteps(2, 0));
  EXPECT_LE(greatest_difference(two(0.3, 0.3, -0.2, 7, 12.5), single), 2e-15);                               // the second condition says nothing
}

// --- data that are Gaussian: the exact noise is known, and so is where each start ends

struct Gaussian {
  double mean = 0.7, deviation = 0.4;
  NoiseSchedule fine = linear_schedule(100000, 1e-6, 2e-4);

  /// E[noise | x] at timestep t.
  auto model() const {
    return [this](const Tensor<double, 2>& x, const Tensor<float, 1>& t) {
      const Index k = Index(t(0));
      const double a = fine.signal(k), s = fine.noise(k), v = a * a * deviation * deviation + s * s;
      return (x - a * mean) * (s / v);
    };
  }
  /// The probability flow from the last step to the first, and the model's guess there.
  double end(double x) const {
    const auto spread = [&](Index k) { return std::sqrt(fine.signal(k) * fine.signal(k) * deviation * deviation + fine.noise(k) * fine.noise(k)); };
    const Index last = fine.steps() - 1;
    const double z = (x - fine.signal(last) * mean) / spread(last), x1 = fine.signal(0) * mean + z * spread(0);
    const double v = spread(0) * spread(0);
    return mean + fine.signal(0) * deviation * deviation / v * (x1 - fine.signal(0) * mean);
  }
};

TEST(Samplers, OrderOfConvergence) {
  const Gaussian g;
  const auto start = tensor<double, 2>({2, 1}, {1.3, -0.8});
  const auto error = [&](Index K, auto&& sample) {
    const auto x = sample(respaced(g.fine, log_ratio_steps(g.fine, K)));
    return std::max(std::abs(at(x, 0) - g.end(1.3)), std::abs(at(x, 1) - g.end(-0.8)));
  };
  const auto ddim = [&](const NoiseSchedule& s) { return ddim_sample(s, g.model(), start); };
  const auto dpm = [&](const NoiseSchedule& s) { return dpm_solver_sample(s, g.model(), start); };
  double previous_ddim = error(20, ddim), previous_dpm = error(20, dpm);
  for (const Index K : {40, 80, 160}) {
    const double e1 = error(K, ddim), e2 = error(K, dpm);
    RecordProperty(text("ddim_", K), text(e1)), RecordProperty(text("dpm_", K), text(e2 * 1e6, "e-6"));
    EXPECT_NEAR(previous_ddim / e1, 2, 0.2) << K;
    EXPECT_NEAR(previous_dpm / e2, 4, 1.0) << K;
    EXPECT_LT(e2, e1 / 4);
    previous_ddim = e1, previous_dpm = e2;
  }
}

TEST(Samplers, DdimWithEtaOneIsAncestral) {
  const Gaussian g;
  const auto s = respaced(g.fine, 30);
  const auto start = tensor<double, 2>({2, 1}, {1.3, -0.8});
  Generator a(5), b(5), c(6);
  auto all = empty<double>({30, 2, 1});
  fill_randn(all.data(), all.count(), a);
  // The ancestral one draws at its last step too, so it needs all thirty.
  const auto ancestral = iddpm_sample(s, g.model(), start, noise_given(all)), ddim = ddim_sample(s, g.model(), start, 1.0, noise_given(all));
  EXPECT_LE(greatest_difference(ancestral, ddim), 1e-12);
  EXPECT_GT(greatest_difference(ddim_sample(s, g.model(), start, 0.5, noise_from(c)), ddim), 1e-3);
  EXPECT_THROW(iddpm_sample(respaced(g.fine, 31), g.model(), start, noise_given(all)), ShapeError);
  EXPECT_THROW(ddim_sample(s, g.model(), start, 0.5), ConfigError);
  EXPECT_THROW(ddim_sample(s, g.model(), start, 1.5, noise_from(c)), ConfigError);
}

TEST(Samplers, AncestralSamplesHaveTheDataDistribution) {
  const Gaussian g;
  const Index n = 4000;
  Generator generator(1);
  auto x = empty<double>({n, 1});
  fill_randn(x.data(), n, generator);
  x = iddpm_sample(respaced(g.fine, 400), g.model(), x, noise_from(generator));
  double sum = 0, squares = 0;
  for (Index i = 0; i < n; ++i) sum += x(i, 0), squares += x(i, 0) * x(i, 0);
  const double mean = sum / double(n), deviation = std::sqrt(squares / double(n) - mean * mean);
  EXPECT_NEAR(mean, g.mean, 5 * g.deviation / std::sqrt(double(n)));                  // five standard errors
  EXPECT_NEAR(deviation, g.deviation, 5 * g.deviation / std::sqrt(2.0 * double(n)) + 0.005);  // and 400 steps for infinitely many
}

TEST(Samplers, VarianceChannelsAreLeftUnreadByOdeSamplers) {
  const Gaussian g;
  const auto s = respaced(g.fine, 10);
  const auto start = tensor<double, 2>({2, 1}, {1.3, -0.8});
  const auto wide = [&](const Tensor<double, 2>& x, const Tensor<float, 1>& t) { return cat({g.model()(x, t), x * 5.0}, 1); };
  EXPECT_EQ(greatest_difference(ddim_sample(s, wide, start), ddim_sample(s, g.model(), start)), 0);
  EXPECT_EQ(greatest_difference(dpm_solver_sample(s, wide, start), dpm_solver_sample(s, g.model(), start)), 0);
}

TEST(Samplers, HooksAndNoise) {
  const auto s = respaced(linear_schedule(), 5);
  const auto x = full<float>({2, 1, 16}, 1.0f);
  const auto model = [](const Tensor<float, 3>& y, const Tensor<float, 1>&) { return y * 0.5; };
  std::vector<Index> seen;
  SamplerHooks<float, 3> hooks;
  Tensor<float, 3> last_guess;
  hooks.progress = [&](Index done, Index steps) {
    EXPECT_EQ(steps, 5);
    seen.push_back(done);
  };
  hooks.preview = [&](Index, const Tensor<float, 3>& x0) { last_guess = x0; };
  const auto end = ddim_sample(s, model, x, 0, {}, hooks);
  EXPECT_EQ(seen, (std::vector<Index>{1, 2, 3, 4, 5}));
  EXPECT_EQ(greatest_difference(end, last_guess), 0);
  hooks.cancel = [&] { return seen.size() == 7; };
  EXPECT_THROW(dpm_solver_sample(s, model, x, hooks), Cancelled);
  EXPECT_EQ(seen.size(), 7u);

  Generator one(3), two(3), other(3);
  const auto double_draw = noise_from(one, 2)(x);
  auto both = empty<float>({4, 1, 16});
  fill_randn(both.data(), both.count(), two);
  EXPECT_EQ(greatest_difference(double_draw, slice(both, 0, 0, 2)), 0);
  EXPECT_EQ(one.random(), two.random());
  Generator again(3);
  EXPECT_EQ(greatest_difference(iddpm_sample(s, model, x, noise_from(other)), iddpm_sample(s, model, x, noise_from(again))), 0);
  EXPECT_FALSE(end.requires_grad());
}

// --- rectified flow

TEST(RectifiedFlow, Shift) {
  EXPECT_EQ(shifted_time(0, 8), 0);
  EXPECT_EQ(shifted_time(1, 8), 1);
  EXPECT_EQ(shifted_time(0.37, 1), 0.37);
  EXPECT_NEAR(shifted_time(0.5, 8), 4 / 4.5, 1e-15);  // 8u / (1 + 7u)
  EXPECT_THROW(shifted_time(0.5, 0), ConfigError);
}

TEST(RectifiedFlow, StraightLinesAreExact) {
  const auto target = tensor<float, 3>({2, 1, 3}, {0.25f, -1, 3, 7, 0, -0.125f}), start = tensor<float, 3>({2, 1, 3}, {1, 2, -0.3f, 0.1f, 0.9f, -2});
  const auto velocity = [&](const Tensor<float, 3>&, const Tensor<float, 1>&) { return start - target; };
  const auto x0 = [&](const Tensor<float, 3>&, const Tensor<float, 1>&) { return target; };
  for (const Index steps : {1, 7})
    for (const double shift : {1.0, 8.0})
      for (const FlowSolver solver : {FlowSolver::euler, FlowSolver::heun}) {
        EXPECT_EQ(greatest_difference(flow_sample(x0, start, {steps, shift, FlowPrediction::x0, solver}), target), 0);
        EXPECT_LE(greatest_difference(flow_sample(velocity, start, {steps, shift, FlowPrediction::velocity, solver}), target), 4e-6);  // a few ulp of 7 a step
      }
}

TEST(RectifiedFlow, OrderOfConvergenceAndBothPredictions) {
  const double m = 0.7, s = 0.4;
  const auto x0 = [&](const Tensor<double, 2>& x, const Tensor<float, 1>& time) {
    const double t = double(time(0)) / 1000, v = (1 - t) * (1 - t) * s * s + t * t;
    return (x - (1 - t) * m) * ((1 - t) * s * s / v) + m;
  };
  const auto velocity = [&](const Tensor<double, 2>& x, const Tensor<float, 1>& time) { return (x - x0(x, time)) / (double(time(0)) / 1000); };
  const auto start = tensor<double, 2>({2, 1}, {1.3, -0.8});
  const auto error = [&](const Tensor<double, 2>& x) { return std::max(std::abs(at(x, 0) - (m + s * 1.3)), std::abs(at(x, 1) - (m - s * 0.8))); };
  const auto run = [&](Index steps, FlowSolver solver) { return flow_sample(x0, start, {steps, 3, FlowPrediction::x0, solver}); };
  EXPECT_NEAR(error(run(40, FlowSolver::euler)) / error(run(80, FlowSolver::euler)), 2, 0.3);
  EXPECT_NEAR(error(run(40, FlowSolver::heun)) / error(run(80, FlowSolver::heun)), 4, 1.5);
  EXPECT_LT(error(run(40, FlowSolver::heun)), error(run(80, FlowSolver::euler)));
  // The timestep arrives rounded to f32.
  for (const FlowSolver solver : {FlowSolver::euler, FlowSolver::heun})
    EXPECT_LE(greatest_difference(run(20, solver), flow_sample(velocity, start, {20, 3, FlowPrediction::velocity, solver})), 1e-6);
}

TEST(RectifiedFlow, Losses) {
  const auto x0 = tensor<double, 2>({2, 2}, {1, 2, -3, 4}), noise = tensor<double, 2>({2, 2}, {0.5, -1, 0.3, 0.1});
  const std::vector<double> t{0.25, 0.8};
  const auto perfect = [&](const Tensor<double, 2>& x, const Tensor<float, 1>& time) {
    EXPECT_EQ(time(0), 250);
    EXPECT_EQ(time(1), 800);
    EXPECT_NEAR(x(0, 1), 0.75 * 2 - 0.25, 1e-15);
    return noise - x0;
  };
  EXPECT_EQ(at(flow_loss(perfect, x0, t, noise).total, 0), 0);
  // v = (x_t − x̂₀)/t: the loss of x₀ with weight 1/t² is that of v.
  const auto guess = tensor<double, 2>({2, 2}, {0.9, 2.2, -2, 3});
  const auto as_x0 = flow_loss([&](const Tensor<double, 2>&, const Tensor<float, 1>&) { return guess; }, x0, t, noise,
                               {FlowPrediction::x0, [](double time) { return 1 / (time * time); }});
  const auto as_velocity = flow_loss([&](const Tensor<double, 2>& x, const Tensor<float, 1>&) {
    return (x - guess) / per_sample<double, 2>(2, [&](Index i) { return t[std::size_t(i)]; });
  }, x0, t, noise);
  for (Index i = 0; i < 2; ++i) EXPECT_NEAR(at(as_x0.loss, i), at(as_velocity.loss, i), 1e-13);
  EXPECT_NEAR(at(as_x0.loss, 0), (0.01 + 0.04) / 2 / 0.0625, 1e-13);
  EXPECT_NEAR(at(as_x0.total, 0), (at(as_x0.loss, 0) + at(as_x0.loss, 1)) / 2, 1e-14);
  EXPECT_THROW(flow_loss(perfect, x0, {0.5}, noise), ShapeError);
}

TEST(RectifiedFlow, DetailWeights) {
  EXPECT_DOUBLE_EQ(detail_weight(1.0), 1);
  EXPECT_DOUBLE_EQ(detail_weight(0.5), 4);
  EXPECT_NEAR(detail_weight(1.0 / 3), 7, 1e-12);  // both sides of the limit
  EXPECT_DOUBLE_EQ(detail_weight(0.1), 7);
  EXPECT_DOUBLE_EQ(detail_weight(0.0), 7);
}

}  // namespace
