// Learning rates over the steps of a training. A schedule is a value: schedule(k) is the rate of step k, counted from 0,
// and depends on nothing else, so a resumed run needs no more than its step.
//
//   warm-up, k < W:   peak·(k + 1)/W            the first step moves already, step W − 1 has the peak
//   after it, with n = k − W:
//     constant            peak
//     linear              peak + (floor − peak)·n/N                          floor from n = N on
//     cosine              floor + (peak − floor)·(1 + cos(π·n/N))/2          Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5
//     cosine_restarts     the same within cycles of N, N·growth, N·growth², … steps, each starting at the peak
#pragma once

#include <cmath>
#include <numbers>

#include <framegrad/core/error.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct LrSchedule {
  enum class Curve { constant, linear, cosine, cosine_restarts };

  Curve curve = Curve::constant;
  double peak = 1e-4, floor = 0;
  Index warmup_steps = 0;     // W
  Index decay_steps = 1;      // N: steps after the warm-up until the floor; of the first cycle with restarts
  double growth = 1;          // of the next cycle's length, at least 1

  double operator()(Index step) const {
    check<ConfigError>(step >= 0 && warmup_steps >= 0 && decay_steps >= 1 && growth >= 1, "LrSchedule", "step ", step, ", warmup_steps ", warmup_steps, ", decay_steps ",
                       decay_steps, ", growth ", growth);
    if (step < warmup_steps) return peak * double(step + 1) / double(warmup_steps);
    double n = double(step - warmup_steps), length = double(decay_steps);
    switch (curve) {
      case Curve::constant: return peak;
      case Curve::linear: return n >= length ? floor : peak + (floor - peak) * (n / length);
      case Curve::cosine: return n >= length ? floor : cosine(n / length);
      default:
        if (growth == 1) return cosine(std::fmod(n, length) / length);
        while (n >= length) n -= length, length *= growth;
        return cosine(n / length);
    }
  }

 private:
  double cosine(double part) const { return floor + (peak - floor) * (1 + std::cos(std::numbers::pi * part)) / 2; }
};

constexpr std::string_view name_of(LrSchedule::Curve c) {
  constexpr std::string_view names[] = {"constant", "linear", "cosine", "cosine_restarts"};
  return names[int(c)];
}

/// The curve of that name. Throws ConfigError with the names there are.
inline LrSchedule::Curve lr_curve(std::string_view name) {
  for (const auto c : {LrSchedule::Curve::constant, LrSchedule::Curve::linear, LrSchedule::Curve::cosine, LrSchedule::Curve::cosine_restarts})
    if (name_of(c) == name) return c;
  throw ConfigError(text("lr_curve: \"", name, "\" is none of constant, linear, cosine, cosine_restarts"));
}

}  // namespace fg::inline FRAMEGRAD_ABI
