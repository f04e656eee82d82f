// Conv2d — a convolution over height and width with its weights.
#pragma once

#include <framegrad/nn/params.hpp>
#include <framegrad/ops/conv.hpp>

namespace fg::inline FRAMEGRAD_ABI {

enum class Bias { yes, no };

template <class T>
class Conv2d {
 public:
  /// A kernel of k×k, padded so that with stride 1 the size stays (k odd).
  Conv2d(Index in, Index out, Index k, Params p, Index stride = 1, Bias bias = Bias::yes)
      : weight_(p.tensor<T, 4>("weight", {out, in, k, k}, init::fan_in_uniform(in * k * k))) {
    if (bias == Bias::yes) bias_ = p.tensor<T, 1>("bias", {out}, init::fan_in_uniform(in * k * k));
    options_.stride = stride, options_.padding = k / 2;
  }

  /// x [N, in, H, W] → f of the convolution, [N, out, H/stride, W/stride], sizes rounded up.
  template <class F = NoActivation>
  Tensor<T, 4> call(const Tensor<T, 4>& x) const { return conv2d<F>(x, *weight_, bias(), options_); }
  Tensor<T, 4> operator()(const Tensor<T, 4>& x) const { return call(x); }
  /// f(convolution of x + added), added as the result.
  template <class F = NoActivation>
  Tensor<T, 4> call_add(const Tensor<T, 4>& added, const Tensor<T, 4>& x) const { return conv2d_add<F>(added, x, *weight_, bias(), options_); }

 private:
  std::optional<Tensor<T, 1>> bias() const { return bias_ ? std::optional(*bias_) : std::nullopt; }

  Parameter<T, 4> weight_;
  Parameter<T, 1> bias_;
  ConvOptions<2> options_;
};

}  // namespace fg::inline FRAMEGRAD_ABI
