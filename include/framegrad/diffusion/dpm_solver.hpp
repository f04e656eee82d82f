// DPM-Solver++ (2M) — the second-order multistep sampler of a noise-predicting model (Lu et al. 2022, arXiv:2211.01095,
// algorithm 2).
//
// With α = √ᾱ, σ = √(1 − ᾱ), λ = ln(α/σ), and h = λ_{k−1} − λ_k the step taken now, h′ the one before:
//   x̂₀      = (x_k − σ_k·ε̂) / α_k
//   D       = x̂₀ + (h / 2h′)·(x̂₀ − x̂₀′)                    x̂₀′ of the step before; the first step has D = x̂₀
//   x_{k−1} = (σ_{k−1}/σ_k)·x_k − α_{k−1}·(e^{−h} − 1)·D
//
// The last step ends at σ = 0, where λ has no end: it is of first order, and gives x̂₀. Steps at equal distances of λ
// (log_ratio_steps) converge fastest; any schedule works. A prediction of the variance is left unread.
#pragma once

#include <framegrad/diffusion/ddim.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// From noise x [B, C, …] to a sample, through all steps of the schedule.
template <class T, int R, class Model>
Tensor<T, R> dpm_solver_sample(const NoiseSchedule& s, Model&& model, Tensor<T, R> x, const std::type_identity_t<SamplerHooks<T, R>>& hooks = {}) {
  const NoGrad off;
  const Index B = x.size(0), K = s.steps();
  Tensor<T, R> x0_before;
  for (Index k = K - 1; k >= 0; --k) {
    hooks.before_step("dpm_solver_sample", K - 1 - k, K);
    const auto e = split_prediction<T, R>(model(x, timesteps(B, double(s.timestep[std::size_t(k)]))), x, "dpm_solver_sample").value;
    const auto x0 = x0_from_noise(s, k, x, e);
    if (k == 0) {
      x = x0;
    } else {
      const double h = s.log_ratio(k - 1) - s.log_ratio(k);
      auto d = x0;
      if (k < K - 1) {
        const double r = h / (2 * (s.log_ratio(k) - s.log_ratio(k + 1)));
        d = x0 * (1 + r) + x0_before * -r;
      }
      x = x * (s.noise(k - 1) / s.noise(k)) + d * (-s.signal(k - 1) * std::expm1(-h));
    }
    x0_before = x0;
    hooks.after_step(K - k, K, x0);
  }
  return x;
}

}  // namespace fg::inline FRAMEGRAD_ABI
