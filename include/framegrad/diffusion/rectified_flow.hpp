// Rectified flow — straight lines between data and noise (Liu et al. 2022, arXiv:2209.03003, eq. 1; Lipman et al. 2022,
// arXiv:2210.02747, eq. 20–23).
//
//   x_t = (1 − t)·x₀ + t·noise,  t in [0, 1]           t = 0 is data, t = 1 noise; the model is told 1000·t
//   v   = dx/dt = noise − x₀                           a model predicts v, or x₀; v = (x_t − x̂₀)/t
//
// Predicting x₀ is the better choice where a token holds more numbers than the network is wide: v carries all of the noise's.
// Times crowd towards the noise by t = s·u / (1 + (s − 1)·u) (Esser et al. 2024, arXiv:2403.03206, eq. 23): with u uniform for
// training, and u = 1, 1 − 1/K, …, 0 for sampling; s = 1 leaves them as they are.
//
//   Euler   x ← x + (t′ − t)·v                         for x̂₀ in the form (t′/t)·x + (1 − t′/t)·x̂₀: the last step gives x̂₀ itself
//   Heun    the mean of v here and v at Euler's end    second order, two calls a step; the step to t = 0 stays Euler's
#pragma once

#include <framegrad/diffusion/per_sample.hpp>
#include <framegrad/diffusion/sampler.hpp>
#include <framegrad/ops/add.hpp>
#include <framegrad/ops/mul.hpp>
#include <framegrad/ops/sub.hpp>
#include <framegrad/ops/views.hpp>

namespace fg::inline FRAMEGRAD_ABI {

enum class FlowPrediction { velocity, x0 };
enum class FlowSolver { euler, heun };

constexpr std::string_view name_of(FlowPrediction p) { return p == FlowPrediction::velocity ? "velocity" : "x0"; }
constexpr std::string_view name_of(FlowSolver s) { return s == FlowSolver::euler ? "euler" : "heun"; }

inline constexpr double kFlowTimestepScale = 1000;

/// u in [0, 1] → t in [0, 1]. Throws ConfigError unless shift > 0.
inline double shifted_time(double u, double shift) {
  check<ConfigError>(shift > 0, "shifted_time", "shift is ", shift, ", it must be positive");
  return shift * u / (1 + (shift - 1) * u);
}

template <class T>
struct FlowLoss {
  Tensor<T, 1> loss;   // [B]
  Tensor<T, 0> total;  // its mean; call backward on it
};

/// Weights of x₀'s loss by which details count, too: from 1 at t = 1, where nobody can know where a figure is, to 7 below t = 1/3. What
/// it looks like is decided in between, where the loss is a tenth of that and less. With ten times these weights for the signal's
/// share, the text was hardly learned.
constexpr double detail_weight(double t) { return 1 + 3 * (1 - t > 2 * t ? 2 : (1 - t) / t); }

struct FlowObjective {
  FlowPrediction prediction = FlowPrediction::velocity;
  std::function<double(double t)> weight = {};  // of a sample's loss; none: 1. 1/t² makes x₀'s loss equal to v's
  double edges = 0;                             // share of edge_loss: the best prediction stays the same, a smooth one costs more
};

/// error [B, C, …] → [B]: the mean squares of what it changes by from a cell to the next one, of each axis behind the channels that has two.
/// Corners, and how they turn, are small and sharp: of the error itself they are little, and a network learns them late.
/// Throws ShapeError if no axis has two.
template <class T, int R>
Tensor<T, 1> edge_loss(const Tensor<T, R>& error) {
  std::optional<Tensor<T, 1>> total;
  for (int axis = 2; axis < R; ++axis) {
    const Index n = error.size(axis);
    if (n < 2) continue;
    const auto d = slice(error, axis, 1, n) - slice(error, axis, 0, n - 1);
    total = total ? *total + mean_per_sample(d * d) : mean_per_sample(d * d);
  }
  check_shape(total.has_value(), "edge_loss", "the error is ", error.sizes(), ", a single cell");
  return *total;
}

/// What a batch's times come to as tensors.
template <class T, int R>
struct FlowTimes {
  Tensor<T, R> at;                     // [B, 1, …, 1]: t
  std::optional<Tensor<T, 1>> weight;  // [B]: of the losses, if there are any
};

/// The time of each sample → its tensors, on the host.
template <class T, int R>
FlowTimes<T, R> flow_times(const std::vector<double>& t, const FlowObjective& objective = {}) {
  const Index B = Index(t.size());
  FlowTimes<T, R> times{per_sample<T, R>(B, [&](Index i) { return t[std::size_t(i)]; }), {}};
  if (objective.weight) times.weight = per_sample<T, 1>(B, [&](Index i) { return objective.weight(t[std::size_t(i)]); });
  return times;
}
/// What a model is told: 1000·t of each sample, [B], on the host.
inline Tensor<float, 1> flow_timesteps(const std::vector<double>& t) {
  return per_sample<float, 1>(Index(t.size()), [&](Index i) { return kFlowTimestepScale * t[std::size_t(i)]; });
}

/// model(x_t), x0 and noise [B, C, …], times where they are → mean square of the error in what is predicted. Throws ShapeError.
template <class T, int R, class Model>
FlowLoss<T> flow_loss_at(Model&& model, const Tensor<T, R>& x0, const FlowTimes<T, R>& times, const Tensor<T, R>& noise, const FlowObjective& objective) {
  check_shape(times.at.size(0) == x0.size(0) && noise.sizes() == x0.sizes(), "flow_loss", times.at.size(0), " times, x0 ", x0.sizes(), ", noise ", noise.sizes());
  const auto x = x0 * (1 - times.at) + noise * times.at;
  const Tensor<T, R> out = model(x);
  check_shape(out.sizes() == x.sizes(), "flow_loss", "the model gave ", out.sizes(), " for x ", x.sizes());
  const auto error = objective.prediction == FlowPrediction::velocity ? out - (noise - x0) : out - x0;
  FlowLoss<T> l;
  l.loss = mean_per_sample(error * error);
  if (objective.edges > 0) l.loss = l.loss + edge_loss(error) * T(objective.edges);
  if (times.weight) l.loss = l.loss * *times.weight;
  l.total = mean(l.loss);
  return l;
}

/// model(x_t, 1000·t), x0 and noise [B, C, …], time of each sample → mean square of the error in what is predicted. Throws ShapeError.
template <class T, int R, class Model>
FlowLoss<T> flow_loss(Model&& model, const Tensor<T, R>& x0, const std::vector<double>& t, const Tensor<T, R>& noise, const FlowObjective& objective = {}) {
  FlowTimes<T, R> times = flow_times<T, R>(t, objective);
  times.at = to(times.at, x0.device());
  if (times.weight) times.weight = to(*times.weight, x0.device());
  return flow_loss_at([&](const Tensor<T, R>& x) { return model(x, flow_timesteps(t)); }, x0, times, noise, objective);
}

struct FlowSampling {
  Index steps = 50;
  double shift = 1;
  FlowPrediction prediction = FlowPrediction::velocity;
  FlowSolver solver = FlowSolver::euler;
};

/// From noise x [B, C, …] to a sample. Throws ConfigError.
template <class T, int R, class Model>
Tensor<T, R> flow_sample(Model&& model, Tensor<T, R> x, const FlowSampling& o = {}, const std::type_identity_t<SamplerHooks<T, R>>& hooks = {}) {
  check<ConfigError>(o.steps > 0, "flow_sample", o.steps, " steps");
  const NoGrad off;
  const Index B = x.size(0), K = o.steps;
  const auto predict = [&](const Tensor<T, R>& at, double t) {
    const Tensor<T, R> out = model(at, timesteps(B, kFlowTimestepScale * t));
    check_shape(out.sizes() == at.sizes(), "flow_sample", "the model gave ", out.sizes(), " for x ", at.sizes());
    return out;
  };
  const bool velocity = o.prediction == FlowPrediction::velocity;
  const auto euler = [&](const Tensor<T, R>& at, const Tensor<T, R>& p, double t, double next) {
    return velocity ? at + p * (next - t) : at * (next / t) + p * (1 - next / t);
  };
  const auto velocity_of = [&](const Tensor<T, R>& at, const Tensor<T, R>& p, double t) { return velocity ? p : (at - p) * (1 / t); };
  for (Index i = 0; i < K; ++i) {
    hooks.before_step("flow_sample", i, K);
    const double t = shifted_time(double(K - i) / double(K), o.shift), next = shifted_time(double(K - i - 1) / double(K), o.shift);
    const auto p = predict(x, t);
    const auto x0 = velocity ? x + p * -t : p;
    auto end = euler(x, p, t, next);
    if (o.solver == FlowSolver::heun && next > 0)
      end = x + (velocity_of(x, p, t) + velocity_of(end, predict(end, next), next)) * ((next - t) / 2);
    x = end;
    hooks.after_step(i + 1, K, x0);
  }
  return x;
}

}  // namespace fg::inline FRAMEGRAD_ABI
