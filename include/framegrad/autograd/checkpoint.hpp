// checkpoint — forget what a function computed inside, and compute it again when its gradient is asked for.
//
//   forward    y = f(x…) without recording
//   backward   f(x…) again, recorded, then its gradient          Chen et al. 2016 (arXiv:1604.06174)
//
// Memory falls to the inputs of each piece, for one more forward. Variables that f uses inside get their gradients as usual.
#pragma once

#include <tuple>

#include <framegrad/autograd/backward.hpp>
#include <framegrad/core/random_state.hpp>

namespace fg::inline FRAMEGRAD_ABI {

namespace detail {

/// Where the gradient of an input of f arrives, as it came: a leaf would hold it in f32.
class CheckpointInput final : public Node {
 public:
  CheckpointInput() : Node("checkpoint input") {}
  void backward(std::vector<AnyTensor>& grads, GradSink&) override { grad = std::move(grads[0]); }

  AnyTensor grad;
};

template <class F, class Y, class... X>
class CheckpointNode final : public Node {
 public:
  CheckpointNode(F f, const RandomState& random, const X&... x) : Node("checkpoint"), f_(std::move(f)), random_(random), inputs_(X(x.detach())...) {
    set_edges({x...});
    std::apply([&](const X&... saved) { (versions_.push_back(version_of(saved)), ...); }, inputs_);
  }

  void backward(std::vector<AnyTensor>& grads, GradSink& sink) override {
    check<GradError>(!released_, name(), "backward a second time: run forward again");
    released_ = true;
    std::vector<AnyTensor> again;
    std::apply([&](const X&... x) { (again.push_back(x), ...); }, inputs_);
    inputs_ = {};
    std::vector<std::shared_ptr<CheckpointInput>> nodes(again.size());
    for (std::size_t i = 0; i < again.size(); ++i) {
      AnyTensor& x = again[i];
      check<GradError>(version_of(x) == versions_[i], name(), "an input ", x.sizes(), " was changed since");
      if (!sink.wanted(edges()[i])) continue;
      if (!x.is_dense()) x = row_major_copy(x);
      nodes[i] = std::make_shared<CheckpointInput>();
      add_output(nodes[i], x);
    }
    {
      const NoGrad on(false);
      const ReplayRandom same(random_);
      AnyTensor y = call(again, std::index_sequence_for<X...>{});
      again.clear();  // the graph keeps what it needs of them, and nothing of y
      if (y.requires_grad()) fg::backward(std::move(y), std::move(grads[0]));
    }
    for (std::size_t i = 0; i < nodes.size(); ++i)
      if (nodes[i] && nodes[i]->grad.defined()) {
        const AnyTensor d = std::move(nodes[i]->grad);
        sink.add(edges()[i], d);
      }
  }
  bool hides_variables() const override { return true; }

 private:
  static std::uint64_t version_of(const AnyTensor& t) { return t.allocated() ? t.storage()->version() : 0; }
  template <std::size_t... I>
  AnyTensor call(const std::vector<AnyTensor>& x, std::index_sequence<I...>) { return f_(X(x[I])...); }

  F f_;
  RandomState random_;  // before f ran
  std::tuple<X...> inputs_;
  std::vector<std::uint64_t> versions_;
  bool released_ = false;
};

}  // namespace detail

/// f(x…), whose activations are computed again in backward. f must give the same result each time (dropout does: its random
/// state is set again).
template <class F, class... X>
auto checkpoint(F f, const X&... x) {
  using Y = decltype(f(x...));
  if (!grad_enabled()) return f(x...);
  const RandomState random = RandomState::instance();
  Y y;
  {
    const NoGrad off;
    y = f(x...);
  }
  // f may use variables that are no argument of it, so the result always joins the graph.
  const auto node = std::make_shared<detail::CheckpointNode<F, Y, X...>>(std::move(f), random, x...);
  AnyTensor any = y.is_dense() ? AnyTensor(y) : row_major_copy(y);
  add_output(node, any);
  return Y(any);
}

}  // namespace fg::inline FRAMEGRAD_ABI
