// Linear — y = f(x·Wᵀ + b) with its weights.
#pragma once

#include <framegrad/nn/params.hpp>
#include <framegrad/ops/linear.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// How a Linear starts: Glorot's uniform weights and a zero bias unless said otherwise.
struct LinearInit {
  Init weight = init::xavier_uniform();
  Init bias = init::zeros();
};

template <class T>
class Linear {
 public:
  Linear(Index in, Index out, Params p, const LinearInit& start = {})
      : weight_(p.tensor<T, 2>("weight", {out, in}, start.weight)), bias_(p.tensor<T, 1>("bias", {out}, start.bias)) {}

  /// x [..., in] → f(x·Wᵀ + b), [..., out].
  template <class F = NoActivation, int R>
  Tensor<T, R> call(const Tensor<T, R>& x) const { return linear<F>(x, *weight_, *bias_); }
  template <int R>
  Tensor<T, R> operator()(const Tensor<T, R>& x) const { return call(x); }

 private:
  Parameter<T, 2> weight_;
  Parameter<T, 1> bias_;
};

}  // namespace fg::inline FRAMEGRAD_ABI
