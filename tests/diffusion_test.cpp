// Schedules, samplers, guidance and losses: the tables and identities of specs D and H.1 (16–22), and problems with a known answer.
#include <gtest/gtest.h>

#include <framegrad/diffusion/guidance.hpp>
#include <framegrad/ops/cat.hpp>
#include <framegrad/ops/div.hpp>

#include "diffusion_chains.hpp"

namespace {

using namespace fg;
using namespace fg::test;

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

TEST(Iddpm, KnownChains) { expect_known_chains<float>(kCpu); }
TEST(Iddpm, LossOfThePerfectPredictor) {
  expect_known_losses<double>(kCpu);
  expect_known_losses<float>(kCpu);
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

// --- data that are Gaussian

TEST(Samplers, OrderOfConvergence) { expect_orders<double>(kCpu, 160); }
TEST(Samplers, DdimWithEtaOneIsAncestral) { expect_ddim_with_eta_one_is_ancestral<double>(kCpu); }
TEST(Samplers, VarianceChannelsAreLeftUnreadByOdeSamplers) { expect_variance_unread<double>(kCpu); }

TEST(Samplers, AncestralSamplesHaveTheDataDistribution) {
  const Gaussian<double> g;
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

}  // namespace
