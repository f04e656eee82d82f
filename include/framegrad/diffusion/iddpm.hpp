// IDDPM — noise prediction with a learned variance: the ancestral sampler and the training loss.
//
// With the model's (ε̂, v) at step k of a schedule (schedule.hpp):
//   ln σ²  = f·ln β_k + (1 − f)·ln β̃_k,  f = (v + 1)/2          Nichol and Dhariwal 2021 (arXiv:2102.09672), eq. 15; v isn't clamped
//   x̂₀     = √(1/ᾱ_k)·x_k − √(1/ᾱ_k − 1)·ε̂                      not clipped
//   μ      = c₁·x̂₀ + c₂·x_k
//   x_{k−1} = μ + [k > 0]·σ·noise
//
// Loss: mse + vb, each averaged over a sample's elements.
//   mse = (noise − ε̂)²
//   vb  = KL(posterior ‖ N(μ, σ²)) / ln 2;  at k = 0 the negative log-likelihood of x₀, discretised to 1/255, in bits.
//         Its gradient reaches v alone: ε̂ is taken as a constant there, so that mse is what trains the mean.
// A model without v gets σ² = β̃ (entry 0 as in the schedule) and the mse alone.
#pragma once

#include <framegrad/diffusion/per_sample.hpp>
#include <framegrad/diffusion/sampler.hpp>
#include <framegrad/diffusion/schedule.hpp>
#include <framegrad/ops/add.hpp>
#include <framegrad/ops/discretised_gaussian.hpp>
#include <framegrad/ops/exp.hpp>
#include <framegrad/ops/gaussian_kl.hpp>
#include <framegrad/ops/mul.hpp>
#include <framegrad/ops/sub.hpp>

namespace fg::inline FRAMEGRAD_ABI {

namespace detail {

inline void check_steps(const NoiseSchedule& s, const std::vector<Index>& k, Index B, std::string_view name) {
  check_shape(Index(k.size()) == B, name, k.size(), " steps for a batch of ", B);
  for (const Index i : k) check_shape(i >= 0 && i < s.steps(), name, "step ", i, " of ", s.steps());
}

/// Numbers that depend on each sample's step, [B, 1, …], on the device of what they are for.
template <class T, int R>
struct AtSteps {
  const std::vector<Index>& k;
  Device device;
  template <class F>
  Tensor<T, R> operator()(F&& f) const {
    return per_sample<T, R>(Index(k.size()), [&](Index i) { return f(k[std::size_t(i)]); }, device);
  }
  Tensor<T, R> operator()(const std::vector<double>& table) const {
    return (*this)([&](Index i) { return table[std::size_t(i)]; });
  }
};

}  // namespace detail

/// x0, noise [B, …], step k of each sample → √ᾱ·x0 + √(1 − ᾱ)·noise. Throws ShapeError.
template <class T, int R>
Tensor<T, R> q_sample(const NoiseSchedule& s, const Tensor<T, R>& x0, const std::vector<Index>& k, const Tensor<T, R>& noise) {
  detail::check_steps(s, k, x0.size(0), "q_sample");
  check_shape(noise.sizes() == x0.sizes(), "q_sample", "noise is ", noise.sizes(), ", x0 ", x0.sizes());
  const detail::AtSteps<T, R> at{k, x0.device()};
  return x0 * at([&](Index i) { return s.signal(i); }) + noise * at([&](Index i) { return s.noise(i); });
}

/// The Gaussian that a prediction makes of x_{k−1}.
template <class T, int R>
struct IddpmStep {
  Tensor<T, R> x0, mean, log_variance;  // log_variance [B, …], or [B, 1, …] without a learned one
};

/// x [B, C, …] at steps k [B], the model's prediction → x̂₀, μ, ln σ².
template <class T, int R>
IddpmStep<T, R> iddpm_step(const NoiseSchedule& s, const Tensor<T, R>& x, const std::vector<Index>& k, const Prediction<T, R>& p) {
  const detail::AtSteps<T, R> at{k, x.device()};
  detail::check_steps(s, k, x.size(0), "iddpm_step");
  const auto low = at(s.posterior_log_variance);
  const auto x0 = x * at([&](Index i) { return 1 / s.signal(i); }) -
                  p.value * at([&](Index i) { return std::sqrt(1 / s.alpha_bar[std::size_t(i)] - 1); });
  const auto mean = x0 * at(s.x0_weight) + x * at(s.xk_weight);
  if (!p.variance) return {x0, mean, low};
  const auto f = affine(*p.variance, 0.5, 0.5);
  return {x0, mean, f * at(s.log_beta) + (1 - f) * low};
}

/// From noise x [B, C, …] to a sample, through all steps of the schedule. `noise` is asked at every step, the last included.
template <class T, int R, class Model>
Tensor<T, R> iddpm_sample(const NoiseSchedule& s, Model&& model, Tensor<T, R> x, const std::type_identity_t<NoiseSource<T, R>>& noise,
                          const std::type_identity_t<SamplerHooks<T, R>>& hooks = {}) {
  const NoGrad off;
  const Index B = x.size(0), K = s.steps();
  for (Index k = K - 1; k >= 0; --k) {
    hooks.before_step("iddpm_sample", K - 1 - k, K);
    const auto p = split_prediction<T, R>(model(x, timesteps(B, double(s.timestep[std::size_t(k)]))), x, "iddpm_sample");
    const auto step = iddpm_step(s, x, std::vector<Index>(std::size_t(B), k), p);
    const auto n = noise(x);
    x = k > 0 ? step.mean + exp(affine(step.log_variance, 0.5, 0)) * n : step.mean;
    hooks.after_step(K - k, K, step.x0);
  }
  return x;
}

/// A loss and its parts, one value a sample; call backward on `total`.
template <class T>
struct IddpmLoss {
  Tensor<T, 1> mse, vb, loss;  // [B]; vb is 0 for a model without variance
  Tensor<T, 0> total;          // the mean of loss
};

namespace detail {

template <class T, int R>
Tensor<T, 1> variational_bound(const NoiseSchedule& s, const Tensor<T, R>& x0, const Tensor<T, R>& x, const std::vector<Index>& k, const Prediction<T, R>& p) {
  constexpr double kLn2 = 0.69314718055994530942;
  const AtSteps<T, R> at{k, x.device()};
  const auto model = iddpm_step(s, x, k, Prediction<T, R>{p.value.detach(), p.variance});
  const auto q_mean = x0 * at(s.x0_weight) + x * at(s.xk_weight);
  const auto kl = mean_per_sample(gaussian_kl(q_mean, at(s.posterior_log_variance), model.mean, model.log_variance)) / kLn2;
  if (std::find(k.begin(), k.end(), 0) == k.end()) return kl;
  const auto at_zero = AtSteps<T, 1>{k, x.device()}([](Index i) { return i == 0; });
  const auto code = mean_per_sample(discretised_gaussian_log_likelihood(x0, model.mean, model.log_variance)) / -kLn2;
  return kl * (1 - at_zero) + code * at_zero;
}

}  // namespace detail

/// model(x_t, timestep), x0 and noise [B, C, …], step k of each sample → the loss. Throws ShapeError.
template <class T, int R, class Model>
IddpmLoss<T> iddpm_loss(const NoiseSchedule& s, Model&& model, const Tensor<T, R>& x0, const std::vector<Index>& k, const Tensor<T, R>& noise) {
  const auto x = q_sample(s, x0, k, noise);
  const Index B = x0.size(0);
  const auto t = detail::AtSteps<float, 1>{k, kCpu}([&](Index i) { return s.timestep[std::size_t(i)]; });
  const auto p = split_prediction<T, R>(model(x, t), x, "iddpm_loss");
  const auto error = noise - p.value;
  IddpmLoss<T> l;
  l.mse = mean_per_sample(error * error);
  l.vb = p.variance ? detail::variational_bound(s, x0, x, k, p) : zeros<T, 1>({B}, x.device());
  l.loss = l.mse + l.vb;
  l.total = mean(l.loss);
  return l;
}

}  // namespace fg::inline FRAMEGRAD_ABI
