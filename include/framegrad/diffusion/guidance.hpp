// Guidance — one model out of the same model under several conditions (Ho and Salimans 2022, arXiv:2207.12598, eq. 6).
//
//   one condition:   ε̃ = ε(∅) + s·(ε(c) − ε(∅))                                              weights s, 1 − s on [c; ∅]
//   two conditions:  ε̃ = ε(∅,∅) + s₁·(ε(c₁,∅) − ε(∅,∅)) + s₂·(ε(c₁,c₂) − ε(c₁,∅))            weights s₂, s₁ − s₂, 1 − s₁
//                    (Brooks et al. 2023, arXiv:2211.09800, eq. 3)                            on [c₁c₂; c₁∅; ∅∅]
//
// The weights sum to 1. All conditions are evaluated in one call on a batch of n·B rows: x repeated, group after group, the
// fullest condition first; the model binds the texts in that order. Only the first `channels` channels are guided: the
// others, and those of the variance, are the first group's. The released Open-Sora 1.0 guides three of four: DiT kept
// the number of colours when it moved to latents.
#pragma once

#include <framegrad/autograd/copy.hpp>
#include <framegrad/diffusion/sampler.hpp>
#include <framegrad/ops/add.hpp>
#include <framegrad/ops/cat.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// As many as x has.
inline constexpr Index kAllChannels = -1;

/// A model on x [B, C, …] from a model on [n·B, C, …], n the number of weights. Throws ConfigError if channels is neither
/// kAllChannels nor in [0, C].
template <class Model>
auto guided_by_weights(Model model, std::vector<double> weights, Index channels) {
  check<ConfigError>(!weights.empty(), "guidance", "no weights are given");
  return [model = std::move(model), weights = std::move(weights), channels]<class T, int R>(const Tensor<T, R>& x, const Tensor<float, 1>& t) {
    const NoGrad off;
    const Index n = Index(weights.size()), B = x.size(0), C = channels == kAllChannels ? x.size(1) : channels;
    check<ConfigError>(C >= 0 && C <= x.size(1), "guidance", C, " channels are guided, x has ", x.size(1));
    const Tensor<T, R> out = model(tile(x, 0, n), tile(t, 0, n));
    check_shape(out.size(0) == n * B, "guidance", "the model gave ", out.sizes(), " for a batch of ", n * B);
    const Tensor<T, R> y(row_major_copy(out.AnyTensor::slice(0, 0, B)));
    const auto group = [&](Index i) { return slice(slice(out, 0, i * B, (i + 1) * B), 1, 0, C) * weights[std::size_t(i)]; };
    Tensor<T, R> sum = group(0);
    for (Index i = 1; i < n; ++i) sum = sum + group(i);
    copy_into(y.AnyTensor::slice(1, 0, C), sum);
    return y;
  };
}

/// One condition, on a batch [condition; none]. Scale 1 is the condition alone, 0 none.
template <class Model>
auto guided(Model model, double scale, Index channels = 3) { return guided_by_weights(std::move(model), {scale, 1 - scale}, channels); }

/// Two conditions, on a batch [both; first alone; none].
template <class Model>
auto guided_by_two(Model model, double first_scale, double second_scale, Index channels = 3) {
  return guided_by_weights(std::move(model), {second_scale, first_scale - second_scale, 1 - first_scale}, channels);
}

}  // namespace fg::inline FRAMEGRAD_ABI
