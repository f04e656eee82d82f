// A layer of your own: a gated unit whose weights live in a store, by name.
#include <framegrad/framegrad.hpp>

#include <iostream>

using namespace fg;

/// y = (x·Aᵀ + a) ∘ σ(x·Bᵀ + b), the gated linear unit (Dauphin et al., arXiv:1612.08083, eq. 1).
template <class T>
class GatedUnit {
 public:
  GatedUnit(Index in, Index out, Params p) : value_(in, out, p / "value"), gate_(in, out, p / "gate"), scale_(p.tensor<T, 1>("scale", {out}, init::ones())) {}

  /// x [..., in] → [..., out].
  template <int R>
  Tensor<T, R> operator()(const Tensor<T, R>& x) const { return value_(x) * sigmoid(gate_(x)) * *scale_; }

 private:
  Linear<T> value_, gate_;
  Parameter<T, 1> scale_;
};

int main() {
  Params params(42);                                   // the seed of all initial values
  const GatedUnit<float> first(8, 16, params / "first"), second(16, 4, params / "second");

  for (const auto& slot : params.slots()) std::cout << slot->name << " " << slot->value.sizes().str() << "\n";
  std::cout << params.parameter_count() << " parameters\n";

  const auto x = full<float>({2, 5, 8}, 0.5f);         // any leading axes: here [batch, tokens, 8]
  const auto y = second(first(x));
  std::cout << "y is " << y.sizes().str() << "\n";
  backward(mean(y * y));
  std::cout << "without a gradient: " << params.without_grad().size() << "\n";

  // Frozen weights are constants: no gradient is computed for them.
  params.freeze([](const std::string& name) { return name.starts_with("first."); });
  params.zero_grad();
  backward(mean(second(first(x))));
  std::cout << "trained now: " << params.trainable().size() << " of " << params.slots().size() << " tensors\n";
}
