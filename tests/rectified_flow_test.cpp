// Rectified flow: its times, its sampler on problems with a known answer, its losses.
#include <gtest/gtest.h>

#include <framegrad/diffusion/rectified_flow.hpp>
#include <framegrad/ops/div.hpp>

#include "diffusion_chains.hpp"

namespace {

using namespace fg;
using namespace fg::test;

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

TEST(RectifiedFlow, EdgesOfTheError) {
  // Rows are frames, columns cells; of channels and samples nothing is compared.
  const auto x0 = tensor<double, 4>({2, 1, 2, 3}, {1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0}), noise = zeros<double>({2, 1, 2, 3});
  const auto error = tensor<double, 4>({2, 1, 2, 3}, {0.5, 0.5, 2, 0.5, 0.5, -1, 3, 3, 3, 3, 3, 3});
  const auto loss = [&](double edges) {
    return flow_loss([&](const Tensor<double, 4>&, const Tensor<float, 1>&) { return x0 + error; }, x0, {0.3, 0.6}, noise, {FlowPrediction::x0, {}, edges}).loss;
  };
  const double mean = (4 * 0.25 + 4 + 1) / 6, down = 9.0 / 3, across = (1.5 * 1.5 + 1.5 * 1.5) / 4;
  EXPECT_NEAR(at(loss(0), 0), mean, 1e-14);
  EXPECT_NEAR(at(loss(2), 0), mean + 2 * (down + across), 1e-14);
  EXPECT_NEAR(at(loss(2), 1), 9, 1e-14);  // even, so no edge
  EXPECT_THROW(edge_loss(zeros<double>({1, 3, 1, 1})), ShapeError);
}

TEST(RectifiedFlow, DetailWeights) {
  EXPECT_DOUBLE_EQ(detail_weight(1.0), 1);
  EXPECT_DOUBLE_EQ(detail_weight(0.5), 4);
  EXPECT_NEAR(detail_weight(1.0 / 3), 7, 1e-12);  // both sides of the limit
  EXPECT_DOUBLE_EQ(detail_weight(0.1), 7);
  EXPECT_DOUBLE_EQ(detail_weight(0.0), 7);
}

}  // namespace
