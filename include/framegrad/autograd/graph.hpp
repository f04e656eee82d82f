// The graph — nodes made as ops run, walked backwards once.
//
// Three kinds of node: an op (op.hpp), a function (checkpoint, a user's own), and a leaf, which holds a parameter's
// gradient. Views have no node: a view keeps its base's, and an edge remembers which part of the base it was.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <framegrad/core/few.hpp>
#include <framegrad/core/parallel.hpp>
#include <framegrad/core/tensor.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// An input of a node that wants a gradient: which output of which node, seen with which geometry. Empty for a constant.
struct Edge {
  std::shared_ptr<Node> node;
  std::uint32_t output = 0;
  Geometry view;

  Edge() = default;
  explicit Edge(const AnyTensor& t) : Edge(AnyTensor(t)) {}
  explicit Edge(AnyTensor&& t) : node(t.leave_graph()), output(t.node_output()) {
    if (node) view = t.geometry();
  }
  explicit operator bool() const { return node != nullptr; }
};

/// What a node's output is: enough to allocate its gradient.
struct OutputInfo {
  Dtype dtype;
  Geometry geometry;
  Device device;
};

using Edges = Few<Edge, 2>;

class GradSink;

class Node {
 public:
  explicit Node(std::string_view name) : name_(name), sequence_(next_sequence()++) {}
  virtual ~Node() {
    // One after the other: a long chain freed by recursion would use up the stack.
    std::vector<std::shared_ptr<Node>> last;
    hand_over_edges(last);
    while (!last.empty()) {
      const std::shared_ptr<Node> node = std::move(last.back());
      last.pop_back();
      if (node.use_count() == 1) node->hand_over_edges(last);
    }
  }
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  std::string_view name() const { return name_; }
  std::uint64_t sequence() const { return sequence_; }
  std::span<const Edge> edges() const { return edges_; }
  std::span<const OutputInfo> outputs() const { return outputs_; }

  /// Given ∂L/∂outputs (undefined where nothing flowed back), writes ∂L/∂inputs into the sink, then frees what it saved.
  virtual void backward(std::vector<AnyTensor>& grads, GradSink& sink) = 0;
  /// Whether t is the only output as it was made, and this node will make it again: then nobody else has to keep it.
  virtual bool promise(const AnyTensor&) { return false; }
  /// The output again; once a promise, and before this node's own backward.
  virtual AnyTensor keep_promise() { return {}; }
  virtual bool is_leaf() const { return false; }
  /// Whether its backward may reach variables that no edge leads to.
  virtual bool hides_variables() const { return false; }

  void set_edges(Edges&& edges) { edges_ = std::move(edges); }
  void set_edges(std::initializer_list<AnyTensor> inputs) {
    edges_.clear();
    for (const AnyTensor& t : inputs) edges_.push_back(Edge(t));
  }
  void release_edges() { edges_.clear(); }

 private:
  friend void add_output(const std::shared_ptr<Node>& node, AnyTensor& t);
  void hand_over_edges(std::vector<std::shared_ptr<Node>>& to) {
    for (Edge& e : edges_)
      if (e.node) to.push_back(std::move(e.node));
    edges_.clear();
  }
  /// Over all threads: a graph may be begun on one and continued on another.
  static std::atomic<std::uint64_t>& next_sequence() {
    static std::atomic<std::uint64_t> n{1};
    return n;
  }
  std::string name_;
  std::uint64_t sequence_;
  Edges edges_;
  Few<OutputInfo, 1> outputs_;
};

/// Makes `t` an output of the node: the i-th, counted from 0. Only floating tensors join the graph.
inline void add_output(const std::shared_ptr<Node>& node, AnyTensor& t) {
  node->outputs_.push_back({t.dtype(), t.geometry(), t.device()});
  if (is_floating_dtype(t.dtype())) t.attach(node, std::uint32_t(node->outputs_.size() - 1));
}

/// A parameter's place in the graph. Gradients of bf16 and half leaves accumulate in f32.
class Leaf final : public Node {
 public:
  explicit Leaf(std::string_view name = "leaf") : Node(name) {}
  void backward(std::vector<AnyTensor>&, GradSink&) override {}
  bool is_leaf() const override { return true; }

  AnyTensor grad;                                    // undefined until a backward reached it
  std::function<void(const AnyTensor& grad)> hook;   // runs when the gradient of one backward is complete
};

/// Marks a dense tensor as a variable: backward will leave ∂L/∂t in grad(t). Returns the variable, which shares t's memory.
template <class Any> requires std::is_base_of_v<AnyTensor, Any>
Any variable(Any t, std::string_view name = "leaf") {
  check<GradError>(is_floating_dtype(t.dtype()), "variable", t.dtype(), " has no gradient");
  check<GradError>(t.is_dense(), "variable", "a tensor of sizes ", t.sizes(), " and strides ", t.strides(), " isn't dense");
  t.attach(nullptr, 0);
  const auto leaf = std::make_shared<Leaf>(name);
  add_output(leaf, t);
  return t;
}

namespace detail {
inline Leaf& leaf_of(const AnyTensor& t, std::string_view name) {
  check<GradError>(t.node() && t.node()->is_leaf(), name, "the tensor is no variable");
  return static_cast<Leaf&>(*t.node());
}
}  // namespace detail

/// The gradient that backward left at a variable; undefined if none reached it.
inline const AnyTensor& grad(const AnyTensor& variable) { return detail::leaf_of(variable, "grad").grad; }
template <class T, int R>
Tensor<accum_t<T>, R> grad(const Tensor<T, R>& variable) { return Tensor<accum_t<T>, R>(detail::leaf_of(variable, "grad").grad); }
inline void zero_grad(const AnyTensor& variable) { detail::leaf_of(variable, "zero_grad").grad = {}; }

/// Whether this thread records ops. Goes along into parallel_for.
inline bool grad_enabled() { return detail::records_ops(); }

/// While it lives, this thread records nothing (or does again, with `false`).
class NoGrad {
 public:
  explicit NoGrad(bool off = true) : before_(std::exchange(detail::records_ops(), !off)) {}
  ~NoGrad() { detail::records_ops() = before_; }
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool before_;
};

}  // namespace fg::inline FRAMEGRAD_ABI
