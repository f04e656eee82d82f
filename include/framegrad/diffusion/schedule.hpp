// NoiseSchedule — the table of β and ᾱ that discrete diffusion samplers and losses read, in double.
//
//   x_t = √ᾱ·x₀ + √(1 − ᾱ)·noise                                   Ho et al. 2020 (arXiv:2006.11239), eq. 4
//   posterior of x_{k−1} given x_k and x₀, eq. 6 and 7:
//     mean c₁·x₀ + c₂·x_k     c₁ = β·√ᾱ_{k−1} / (1 − ᾱ_k)     c₂ = (1 − ᾱ_{k−1})·√(1 − β) / (1 − ᾱ_k)
//     variance β·(1 − ᾱ_{k−1}) / (1 − ᾱ_k)
//
// A schedule is made of the ᾱ at the timesteps that are kept: β_k = 1 − ᾱ_k / ᾱ_{k−1} follows, and all else from it, so
// sampling in fewer steps is a schedule like any other (Nichol and Dhariwal 2021, arXiv:2102.09672, section 4). Step k is a
// position in the table, timestep[k] what the model is told.
#pragma once

#include <charconv>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include <framegrad/core/error.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct NoiseSchedule {
  std::vector<Index> timestep;                  // ascending; all vectors have one entry a step
  std::vector<double> alpha_bar;                // ᾱ, falling
  std::vector<double> alpha_bar_prev;           // of the step before; 1 for the first
  std::vector<double> beta, log_beta;
  std::vector<double> posterior_log_variance;   // entry 0, whose variance is 0, repeats entry 1
  std::vector<double> x0_weight, xk_weight;     // c₁, c₂

  /// Throws ConfigError unless the timesteps rise and ᾱ falls within (0, 1).
  NoiseSchedule(std::vector<Index> timesteps, std::vector<double> alpha_bars) : timestep(std::move(timesteps)), alpha_bar(std::move(alpha_bars)) {
    const std::size_t n = timestep.size();
    check<ConfigError>(n > 0 && alpha_bar.size() == n, "schedule", n, " timesteps, ", alpha_bar.size(), " values");
    for (std::size_t k = 0; k < n; ++k) {
      const double a = alpha_bar[k], before = k ? alpha_bar[k - 1] : 1.0;
      check<ConfigError>(a > 0 && a < before && (k == 0 || timestep[k] > timestep[k - 1]), "schedule", "at step ", k, " timestep ", timestep[k], " and alpha_bar ", a,
                         ": timesteps must rise, and alpha_bar fall within (0, 1)");
      const double b = 1 - a / before;
      alpha_bar_prev.push_back(before);
      beta.push_back(b);
      log_beta.push_back(std::log(b));
      posterior_log_variance.push_back(k ? std::log(b * (1 - before) / (1 - a)) : log_beta[0]);
      x0_weight.push_back(b * std::sqrt(before) / (1 - a));
      xk_weight.push_back((1 - before) * std::sqrt(1 - b) / (1 - a));
    }
    if (n > 1) posterior_log_variance[0] = posterior_log_variance[1];
  }

  Index steps() const { return Index(timestep.size()); }
  double signal(Index k) const { return std::sqrt(alpha_bar[std::size_t(k)]); }         // √ᾱ, what x₀ is multiplied by
  double noise(Index k) const { return std::sqrt(1 - alpha_bar[std::size_t(k)]); }      // √(1 − ᾱ)
  double log_ratio(Index k) const { return std::log(signal(k) / noise(k)); }            // λ, half the logarithm of the signal-to-noise ratio
};

/// β rising linearly over the timesteps, both ends included.
inline NoiseSchedule linear_schedule(Index timesteps = 1000, double first_beta = 1e-4, double last_beta = 0.02) {
  check<ConfigError>(timesteps > 0 && first_beta > 0 && last_beta < 1, "linear_schedule", timesteps, " timesteps, beta from ", first_beta, " to ", last_beta);
  std::vector<Index> t;
  std::vector<double> alpha_bar;
  const double step = timesteps > 1 ? (last_beta - first_beta) / double(timesteps - 1) : 0;
  double product = 1;
  for (Index i = 0; i < timesteps; ++i) {
    product *= 1 - (i > 0 && i == timesteps - 1 ? last_beta : first_beta + double(i) * step);
    t.push_back(i), alpha_bar.push_back(product);
  }
  return NoiseSchedule(std::move(t), std::move(alpha_bar));
}

/// 0 … total − 1 cut into equal sections (earlier ones take the remainder), in each so many positions at equal distance, its ends
/// included; a section of one keeps its first. Throws ConfigError if a section is shorter than its count.
inline std::vector<Index> section_steps(Index total, const std::vector<Index>& counts) {
  check<ConfigError>(!counts.empty(), "section_steps", "no section is given");
  const Index n = Index(counts.size());
  std::vector<Index> kept;
  Index begin = 0;
  for (Index i = 0; i < n; ++i) {
    const Index size = total / n + (i < total % n), count = counts[std::size_t(i)];
    check<ConfigError>(count >= 1 && count <= size, "section_steps", count, " steps of a section of ", size);
    const double stride = count > 1 ? double(size - 1) / double(count - 1) : 1;
    double at = 0;  // added up, and rounded half to even, as the released samplers do
    for (Index j = 0; j < count; ++j, at += stride) kept.push_back(begin + Index(std::nearbyint(at)));
    begin += size;
  }
  return kept;
}

/// "100": so many steps; "10,15,20": so many in each of equal sections; "ddim50": every n-th from 0, for the n that gives 50.
/// Throws ConfigError for anything else, and where no n does.
inline std::vector<Index> spaced_steps(Index total, std::string_view spacing) {
  const auto number = [&](std::string_view s) {
    Index n = 0;
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), n);
    check<ConfigError>(error == std::errc() && end == s.data() + s.size() && n > 0, "spaced_steps", "\"", spacing, "\": \"100\", \"10,15,20\" or \"ddim50\" is needed");
    return n;
  };
  if (spacing.starts_with("ddim")) {
    const Index count = number(spacing.substr(4));
    for (Index stride = 1; stride <= total; ++stride) {
      if ((total + stride - 1) / stride != count) continue;
      std::vector<Index> kept;
      for (Index i = 0; i < total; i += stride) kept.push_back(i);
      return kept;
    }
    throw ConfigError(text("spaced_steps: no whole stride over ", total, " timesteps gives ", count));
  }
  std::vector<Index> counts;
  for (std::size_t begin = 0; begin <= spacing.size();) {
    const std::size_t comma = std::min(spacing.find(',', begin), spacing.size());
    counts.push_back(number(spacing.substr(begin, comma - begin)));
    begin = comma + 1;
  }
  return section_steps(total, counts);
}

/// Steps at nearly equal distances of λ, first and last included: what DPM-Solver converges fastest on. Fewer than `count` where
/// neighbours would fall on one step.
inline std::vector<Index> log_ratio_steps(const NoiseSchedule& s, Index count) {
  check<ConfigError>(count >= 2 && count <= s.steps(), "log_ratio_steps", count, " steps of ", s.steps());
  const double first = s.log_ratio(0), last = s.log_ratio(s.steps() - 1);
  std::vector<Index> kept{0};
  Index k = 0;
  for (Index i = 1; i < count; ++i) {
    const double wanted = first + (last - first) * double(i) / double(count - 1);
    while (k + 1 < s.steps() && std::abs(s.log_ratio(k + 1) - wanted) <= std::abs(s.log_ratio(k) - wanted)) ++k;
    if (k != kept.back()) kept.push_back(k);
  }
  return kept;
}

/// The schedule of those steps alone. Throws ConfigError if one is out of range or they don't rise.
inline NoiseSchedule respaced(const NoiseSchedule& full, const std::vector<Index>& kept) {
  std::vector<Index> t;
  std::vector<double> alpha_bar;
  for (const Index k : kept) {
    check<ConfigError>(k >= 0 && k < full.steps(), "respaced", "step ", k, " of ", full.steps());
    t.push_back(full.timestep[std::size_t(k)]), alpha_bar.push_back(full.alpha_bar[std::size_t(k)]);
  }
  return NoiseSchedule(std::move(t), std::move(alpha_bar));
}
inline NoiseSchedule respaced(const NoiseSchedule& full, std::string_view spacing) { return respaced(full, spaced_steps(full.steps(), spacing)); }
inline NoiseSchedule respaced(const NoiseSchedule& full, Index count) { return respaced(full, section_steps(full.steps(), {count})); }

}  // namespace fg::inline FRAMEGRAD_ABI
