// LossScaler — dynamic loss scaling for training in half (Micikevicius et al. 2018, arXiv:1710.03740, §3.2).
//
// half ends at 6e-8 below and 65504 above: gradients of most layers are smaller than that, and vanish. So the loss's gradient begins at
// `scale` in place of 1, all gradients come out `scale` times too large, and AdamW::step takes that back, in f32:
//
//   const double scale = scaler.scale();
//   backward(loss, scalar(float(scale)));
//   const double norm = grad_norm(params) / scale;
//   if (scaler.update(norm)) adamw.step(lr, clip_factor(norm, 1.0) / scale);
//
// The scale is as large as goes: a step whose gradients overflowed is left out and halves it, `interval` good steps in a row double it.
// Its factors are powers of two, so that scaling rounds nothing.
#pragma once

#include <cmath>

#include <framegrad/core/error.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct LossScalerOptions {
  double initial = 65536, least = 1, most = 16777216;  // powers of two
  Index interval = 2000;                               // good steps before the scale is doubled
};

class LossScaler {
 public:
  explicit LossScaler(const LossScalerOptions& options = {}) : options_(options), scale_(options.initial) {
    for (const double s : {options.least, options.initial, options.most}) check<ConfigError>(is_power_of_two(s), "LossScaler", "a scale of ", s, ", a power of two is needed");
    check<ConfigError>(options.least <= options.initial && options.initial <= options.most && options.interval > 0, "LossScaler", "initial ", options.initial, " in [",
                       options.least, ", ", options.most, "], interval ", options.interval, ": the order is wrong, or the interval not positive");
  }

  /// What the gradient of the loss begins at.
  double scale() const { return scale_; }
  /// Steps left out in all.
  Index skipped() const { return skipped_; }

  /// After each backward, with the gradients' norm: whether the step may be taken, and sets the scale of the next.
  bool update(double grad_norm) {
    const bool good = std::isfinite(grad_norm);
    good_steps_ = good ? good_steps_ + 1 : 0;
    if (!good) ++skipped_;
    if (!good && scale_ > options_.least) scale_ /= 2;
    if (good_steps_ == options_.interval) {
      good_steps_ = 0;
      if (scale_ < options_.most) scale_ *= 2;
    }
    return good;
  }

  /// Everything that a resumed run needs.
  struct State {
    double scale;
    Index good_steps, skipped;
  };
  State state() const { return {scale_, good_steps_, skipped_}; }
  /// Continues from what state() gave. Throws ConfigError for what no scaler can have given.
  void load(const State& s) {
    check<ConfigError>(is_power_of_two(s.scale) && s.good_steps >= 0 && s.skipped >= 0, "LossScaler", "a saved scale of ", s.scale, " after ", s.good_steps, " good and ", s.skipped,
                       " skipped steps");
    scale_ = s.scale, good_steps_ = s.good_steps, skipped_ = s.skipped;
  }

 private:
  static bool is_power_of_two(double s) {
    int exponent;
    return std::isfinite(s) && s > 0 && std::frexp(s, &exponent) == 0.5;
  }

  LossScalerOptions options_;
  double scale_;
  Index good_steps_ = 0, skipped_ = 0;
};

}  // namespace fg::inline FRAMEGRAD_ABI
