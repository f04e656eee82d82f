// Mlp — Linear, tanh-GELU, Linear: the second half of a transformer block.
#pragma once

#include <utility>

#include <framegrad/nn/linear.hpp>

namespace fg::inline FRAMEGRAD_ABI {

template <class T>
class Mlp {
 public:
  Mlp(Index in, Index hidden, Index out, Params p, const LinearInit& start = {}) : fc1_(in, hidden, p / "fc1", start), fc2_(hidden, out, p / "fc2", start) {}

  /// x [..., in] → [..., out]. An x that is handed over goes when it is multiplied.
  template <int R>
  Tensor<T, R> operator()(Tensor<T, R> x) const {
    x = fc1_.template call<GeluTanh>(std::exchange(x, {}));
    return fc2_(x);
  }

 private:
  Linear<T> fc1_, fc2_;
};

}  // namespace fg::inline FRAMEGRAD_ABI
