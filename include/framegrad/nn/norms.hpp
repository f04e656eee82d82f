// LayerNorm with its scale and shift.
#pragma once

#include <framegrad/nn/params.hpp>
#include <framegrad/ops/layer_norm.hpp>

namespace fg::inline FRAMEGRAD_ABI {

template <class T>
class LayerNorm {
 public:
  LayerNorm(Index width, Params p, double eps = 1e-5)
      : gamma_(p.tensor<T, 1>("weight", {width}, init::ones())), beta_(p.tensor<T, 1>("bias", {width}, init::zeros())), eps_(eps) {}

  /// x [..., width] → [..., width].
  template <int R>
  Tensor<T, R> operator()(const Tensor<T, R>& x) const { return layer_norm(x, *gamma_, *beta_, eps_); }

 private:
  Parameter<T, 1> gamma_, beta_;
  double eps_;
};

}  // namespace fg::inline FRAMEGRAD_ABI
