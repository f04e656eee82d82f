// DDIM — the deterministic sampler of a noise-predicting model, and what lies between it and the ancestral one (Song et al.
// 2021, arXiv:2010.02502, eq. 12 and 16).
//
//   x̂₀      = (x_k − √(1 − ᾱ_k)·ε̂) / √ᾱ_k
//   σ       = η·√((1 − ᾱ_{k−1}) / (1 − ᾱ_k))·√(1 − ᾱ_k / ᾱ_{k−1})       η = 0: no noise; η = 1: the posterior's
//   x_{k−1} = √ᾱ_{k−1}·x̂₀ + √(1 − ᾱ_{k−1} − σ²)·ε̂ + σ·noise
//
// The last step ends at ᾱ = 1, that is at x̂₀. A prediction of the variance is left unread.
#pragma once

#include <framegrad/diffusion/sampler.hpp>
#include <framegrad/diffusion/schedule.hpp>
#include <framegrad/ops/add.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// x [B, C, …] at step k, the noise ε̂ predicted in it → x̂₀.
template <class T, int R>
Tensor<T, R> x0_from_noise(const NoiseSchedule& s, Index k, const Tensor<T, R>& x, const Tensor<T, R>& noise) {
  return x * (1 / s.signal(k)) + noise * (-s.noise(k) / s.signal(k));
}

/// From noise x [B, C, …] to a sample, through all steps of the schedule. `noise` is asked only if eta isn't 0. Throws ConfigError
/// if eta is outside [0, 1], or not 0 without a source of noise.
template <class T, int R, class Model>
Tensor<T, R> ddim_sample(const NoiseSchedule& s, Model&& model, Tensor<T, R> x, double eta = 0, const std::type_identity_t<NoiseSource<T, R>>& noise = {},
                         const std::type_identity_t<SamplerHooks<T, R>>& hooks = {}) {
  check<ConfigError>(eta >= 0 && eta <= 1 && (eta == 0 || noise), "ddim_sample", "eta is ", eta, noise ? "" : " without a source of noise", ": it must be in [0, 1]");
  const NoGrad off;
  const Index B = x.size(0), K = s.steps();
  for (Index k = K - 1; k >= 0; --k) {
    hooks.before_step("ddim_sample", K - 1 - k, K);
    const auto e = split_prediction<T, R>(model(x, timesteps(B, double(s.timestep[std::size_t(k)]))), x, "ddim_sample").value;
    const auto x0 = x0_from_noise(s, k, x, e);
    const double a = s.alpha_bar[std::size_t(k)], before = s.alpha_bar_prev[std::size_t(k)];
    const double sigma = eta * std::sqrt((1 - before) / (1 - a)) * std::sqrt(1 - a / before);
    if (k == 0) {
      x = x0;
    } else {
      const auto mean = x0 * std::sqrt(before) + e * std::sqrt(1 - before - sigma * sigma);
      x = eta > 0 ? mean + noise(x) * sigma : mean;
    }
    hooks.after_step(K - k, K, x0);
  }
  return x;
}

}  // namespace fg::inline FRAMEGRAD_ABI
