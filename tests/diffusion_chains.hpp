// Samplers and losses whose answers are known, on any device: diffusion_test.cpp runs them on the CPU, device/diffusion_kernels_test.cpp through the kernels.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>

#include <framegrad/diffusion/dpm_solver.hpp>
#include <framegrad/diffusion/iddpm.hpp>
#include <framegrad/ops/cat.hpp>

namespace fg::test {

template <class T, int R>
double at(const Tensor<T, R>& t, Index i) {
  return double(static_cast<const T*>(row_major_copy(to(t.detach(), kCpu)).raw())[i]);
}
template <class T, int R>
double greatest_difference(const Tensor<T, R>& a, const Tensor<T, R>& b) {
  double d = 0;
  for (Index i = 0; i < a.count(); ++i) d = std::max(d, std::abs(at(a, i) - at(b, i)));
  return d;
}

/// The ancestral sampler with a model that says (0.3·x, 0.2), in 10 and in 100 steps, without noise and with noise 1: where it ends, and what its first step
/// multiplies by.
template <class T>
void expect_known_chains(Device device) {
  const auto model = [](const Tensor<T, 5>& x, const Tensor<float, 1>&) { return cat({x * 0.3, x * 0 + 0.2}, 1); };
  const auto start = to(tensor<T, 5>({1, 1, 1, 1, 4}, {T(1), T(-0.5), T(0.25), T(2)}), device);
  const auto expect = [&](Index K, double n, std::initializer_list<double> wanted) {
    const auto got = iddpm_sample(respaced(linear_schedule(), K), model, start, [&](const Tensor<T, 5>& x) { return x * 0 + n; });
    Index i = 0;
    for (const double w : wanted) {
      EXPECT_NEAR(at(got, i), w, 1e-4 * std::abs(w)) << K << " steps, noise " << n;
      ++i;
    }
  };
  const auto expect_factor = [&](Index K, double wanted, double error) {
    const auto p = split_prediction<T, 5>(model(start, timesteps(1, 999)), start, "test");
    EXPECT_NEAR(at(iddpm_step(respaced(linear_schedule(), K), start, {K - 1}, p).mean, 0), wanted, error) << K;
  };
  expect(10, 0, {20.613234, -10.306617, 5.153308, 41.226467});
  expect_factor(10, 2.122944832, 2e-6);
  expect(10, 1, {41.822117, 10.902266, 26.362192, 62.435356});
  expect(100, 0, {5.990989, -2.995495, 1.497747, 11.981979});
  expect_factor(100, 1.045349121, 1e-6);
  expect(100, 1, {66.714958, 57.728500, 62.221756, 72.705963});
}

/// The loss at step k of x₀ = noise = 0 for a model that says (noise_hat, v) everywhere.
template <class T>
IddpmLoss<T> constant_loss(Device device, Index k, double v, double noise_hat = 0) {
  const auto zero = to(zeros<T>({1, 2, 1, 2, 2}), device);
  const auto model = [&](const Tensor<T, 5>& x, const Tensor<float, 1>&) { return cat({x * 0 + noise_hat, x * 0 + v}, 1); };
  return iddpm_loss(linear_schedule(), model, zero, {k}, zero);
}
template <class T>
void expect_known_losses(Device device) {
  constexpr bool kDouble = std::is_same_v<T, double>;
  struct { Index k; double v, vb; } const rows[] = {{1, -1, 0},         {1, 0, 0.0493115},    {1, 1, 0.1751246},  {0, -1, 1.3056655},
                                                    {0, 0, 1.5071435}, {0, 1, 1.7130142}, {500, 1, 2.6e-7}, {500, -1, 0}};
  for (const auto& r : rows) {
    const auto l = constant_loss<T>(device, r.k, r.v);
    EXPECT_EQ(at(l.mse, 0), 0);
    EXPECT_NEAR(at(l.vb, 0), r.vb, !kDouble ? 3e-6 : r.k == 500 ? 1e-8 : 5e-7) << r.k << " " << r.v;  // in f32 a sum of three terms near 1, cancelling
    EXPECT_EQ(at(l.total, 0), at(l.mse, 0) + at(l.vb, 0));
  }
  EXPECT_NEAR(at(constant_loss<T>(device, 300, 0.3, 0.5).mse, 0), 0.25, 4 * double(std::numeric_limits<T>::epsilon()));
}

/// Data that are Gaussian: the exact noise is known, and so is where each start ends.
template <class T>
struct Gaussian {
  double mean = 0.7, deviation = 0.4;
  NoiseSchedule fine = linear_schedule(100000, 1e-6, 2e-4);

  static Tensor<T, 2> start(Device device) { return to(tensor<T, 2>({2, 1}, {T(1.3), T(-0.8)}), device); }
  /// E[noise | x] at timestep t.
  auto model() const {
    return [this](const Tensor<T, 2>& x, const Tensor<float, 1>& t) {
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

/// DDIM's error halves with twice the steps, DPM-Solver++'s is a quarter: from 20 steps to `most`.
template <class T>
void expect_orders(Device device, Index most) {
  const Gaussian<T> g;
  const auto start = g.start(device);
  const auto error = [&](Index K, auto&& sample) {
    const auto x = sample(respaced(g.fine, log_ratio_steps(g.fine, K)));
    return std::max(std::abs(at(x, 0) - g.end(1.3)), std::abs(at(x, 1) - g.end(-0.8)));
  };
  const auto ddim = [&](const NoiseSchedule& s) { return ddim_sample(s, g.model(), start); };
  const auto dpm = [&](const NoiseSchedule& s) { return dpm_solver_sample(s, g.model(), start); };
  double previous_ddim = error(20, ddim), previous_dpm = error(20, dpm);
  for (Index K = 40; K <= most; K *= 2) {
    const double e1 = error(K, ddim), e2 = error(K, dpm);
    testing::Test::RecordProperty(text("ddim_", K), text(e1)), testing::Test::RecordProperty(text("dpm_", K), text(e2 * 1e6, "e-6"));
    EXPECT_NEAR(previous_ddim / e1, 2, 0.2) << K;
    EXPECT_NEAR(previous_dpm / e2, 4, 1.0) << K;
    EXPECT_LT(e2, e1 / 4);
    previous_ddim = e1, previous_dpm = e2;
  }
}

template <class T>
void expect_ddim_with_eta_one_is_ancestral(Device device) {
  const Gaussian<T> g;
  const auto s = respaced(g.fine, 30);
  const auto start = g.start(device);
  Generator a(5), c(6);
  auto on_host = empty<T>({30, 2, 1});
  fill_randn(on_host.data(), on_host.count(), a);
  const auto all = to(on_host, device);
  // The ancestral one draws at its last step too, so it needs all thirty.
  const auto ancestral = iddpm_sample(s, g.model(), start, noise_given(all)), ddim = ddim_sample(s, g.model(), start, 1.0, noise_given(all));
  EXPECT_LE(greatest_difference(ancestral, ddim), 4500 * double(std::numeric_limits<T>::epsilon()));  // 1e-12 in double
  EXPECT_GT(greatest_difference(ddim_sample(s, g.model(), start, 0.5, noise_from(c)), ddim), 1e-3);
  EXPECT_THROW(iddpm_sample(respaced(g.fine, 31), g.model(), start, noise_given(all)), ShapeError);
  EXPECT_THROW(ddim_sample(s, g.model(), start, 0.5), ConfigError);
  EXPECT_THROW(ddim_sample(s, g.model(), start, 1.5, noise_from(c)), ConfigError);
}

/// A model's second half is left unread by samplers that draw nothing.
template <class T>
void expect_variance_unread(Device device) {
  const Gaussian<T> g;
  const auto s = respaced(g.fine, 10);
  const auto start = g.start(device);
  const auto wide = [&](const Tensor<T, 2>& x, const Tensor<float, 1>& t) { return cat({g.model()(x, t), x * 5.0}, 1); };
  EXPECT_EQ(greatest_difference(ddim_sample(s, wide, start), ddim_sample(s, g.model(), start)), 0);
  EXPECT_EQ(greatest_difference(dpm_solver_sample(s, wide, start), dpm_solver_sample(s, g.model(), start)), 0);
}

}  // namespace fg::test
