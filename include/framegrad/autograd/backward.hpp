// backward — walks the graph from a loss to its variables.
//
// A node runs when every node that uses its outputs has run; among ready ones the youngest goes first, which frees memory
// soonest and fixes the order of every sum. The walk is a loop, not a recursion, and can be entered again (checkpoint).
#pragma once

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include <framegrad/autograd/copy.hpp>
#include <framegrad/autograd/graph.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// Where a node writes its inputs' gradients. One sink serves one walk.
class GradSink {
 public:
  /// Tensors to write ∂L/∂input into, one an edge; undefined where none is wanted. `seen[i]` is how the op saw input i,
  /// which may have been a copy. A view of a base nobody has written yet is written in place; everything else goes
  /// through a temporary that `commit` adds.
  std::vector<AnyTensor> prepare(std::span<const Edge> edges, std::span<const Geometry> seen) {
    std::vector<AnyTensor> targets(edges.size());
    in_place_.assign(edges.size(), 0);
    for (std::size_t i = 0; i < edges.size(); ++i) {
      const Edge& e = edges[i];
      if (!wanted(e) || targets[i].defined()) continue;
      AnyTensor& slot = slot_of(e);
      if (!slot.defined()) {
        // All parts of this base that this node gives: are they disjoint, and do they cover it?
        const auto is_part = [&](std::size_t j) { return edges[j].node == e.node && edges[j].output == e.output; };
        Index covered = 0;
        bool direct = true;
        for (std::size_t j = i; j < edges.size(); ++j) {
          if (!is_part(j)) continue;
          direct = direct && seen[j] == edges[j].view;
          for (std::size_t k = i; k < j && direct; ++k) direct = !(is_part(k) && may_overlap(edges[k].view, edges[j].view));
          covered += edges[j].view.count();
        }
        const OutputInfo& base = e.node->outputs()[e.output];
        if (direct) {
          slot = AnyTensor::empty(base.dtype, base.geometry.sizes, base.geometry.strides, base.device);
          if (covered != base.geometry.count()) fill_zero(slot);
          for (std::size_t j = i; j < edges.size(); ++j)
            if (is_part(j)) targets[j] = part(slot, base, edges[j].view), in_place_[j] = 1;
          continue;
        }
      }
      targets[i] = AnyTensor::empty(e.node->outputs()[e.output].dtype, seen[i].sizes, dense_if_not(seen[i]), e.node->outputs()[e.output].device);
    }
    return targets;
  }

  /// An op gave its own tensor `d` for edge i instead of writing into `target`. It is taken as it is if nobody else holds it.
  AnyTensor replace(const Edge& e, std::size_t i, const AnyTensor& target, AnyTensor d) {
    if (in_place_[i]) {
      AnyTensor& slot = slot_of(e);
      const bool whole = e.view == e.node->outputs()[e.output].geometry && d.strides() == target.strides() && d.dtype() == target.dtype();
      if (whole && d.storage().use_count() == 1) return slot = d;
      copy_into(target, d);
      return target;
    }
    return d;
  }

  /// Adds what went through temporaries.
  void commit(std::span<const Edge> edges, const std::vector<AnyTensor>& targets) {
    for (std::size_t i = 0; i < edges.size(); ++i)
      if (targets[i].defined() && !in_place_[i]) add(edges[i], targets[i]);
  }

  /// Adds a gradient to the part of the base that the edge saw.
  void add(const Edge& e, const AnyTensor& d) {
    AnyTensor& slot = slot_of(e);
    const OutputInfo& base = e.node->outputs()[e.output];
    if (!slot.defined()) {
      const bool whole = e.view == base.geometry;
      if (whole && d.dtype() == base.dtype && d.strides() == base.geometry.strides && d.storage().use_count() == 1) {
        slot = d;
        return;
      }
      slot = AnyTensor::empty(base.dtype, base.geometry.sizes, base.geometry.strides, base.device);
      if (whole) return copy_into(slot, d);
      fill_zero(slot);
    }
    copy_into(part(slot, base, e.view), d, true);
  }

  bool wanted(const Edge& e) const { return e && (!only_ || only_->count(e.node.get())); }

 private:
  friend class BackwardWalk;
  static AnyTensor part(const AnyTensor& slot, const OutputInfo& base, Geometry view) {
    view.offset -= base.geometry.offset;
    return slot.viewed(view);
  }
  static Strides dense_if_not(const Geometry& g) { return g.is_dense() ? g.strides : dense_strides(g.sizes, g); }
  AnyTensor& slot_of(const Edge& e) {
    auto& s = pending_[e.node.get()].grads;
    if (s.empty()) s.resize(e.node->outputs().size());
    return s[e.output];
  }

  /// What is known of a node that has yet to run.
  struct Pending {
    int users = 0;                 // edges that lead to it, of nodes that have yet to run
    std::vector<AnyTensor> grads;  // of its outputs; empty if none has come
  };
  std::unordered_map<Node*, Pending> pending_;
  const std::unordered_set<Node*>* only_ = nullptr;  // nodes that lead to what grad(y, xs) asked for
  std::vector<char> in_place_;
};

namespace detail {
/// A seed that later sums can be taken in: the tensor itself if nobody else holds its memory, otherwise a copy.
inline AnyTensor owned(AnyTensor& dy, const AnyTensor& y) {
  const Strides strides = y.is_dense() ? y.strides() : row_major(y.sizes());
  const auto& memory = dy.storage();
  if (dy.dtype() == y.dtype() && dy.device() == y.device() && dy.strides() == strides && dy.geometry().offset == 0 && memory.use_count() == 1 && !memory->foreign()) {
    dy.attach(nullptr, 0);
    return std::move(dy);
  }
  AnyTensor d = AnyTensor::empty(y.dtype(), y.sizes(), strides, y.device());
  copy_into(d, dy);
  return d;
}
}  // namespace detail

class BackwardWalk {
 public:
  /// Seeds: tensors and ∂L/∂them. With `targets`, only their gradients are computed, and no variable is touched.
  static std::vector<AnyTensor> run(std::vector<std::pair<AnyTensor, AnyTensor>> seeds, const std::vector<AnyTensor>* targets = nullptr) {
    BackwardWalk walk;
    GradSink& sink = walk.sink_;
    for (const auto& [y, dy] : seeds) {
      check<GradError>(y.requires_grad(), "backward", "the tensor depends on no variable");
      walk.count_users(y.node().get());
    }
    std::unordered_set<Node*> leading;
    if (targets) {
      walk.mark_leading(*targets, leading);
      sink.only_ = &leading;
    }
    for (auto& [y, dy] : seeds) {
      check_shape(y.sizes() == dy.sizes(), "backward", "gradient is ", dy.sizes(), ", tensor ", y.sizes());
      if (sink.wanted(Edge(y))) sink.add(Edge(y), detail::owned(dy, y));
      walk.one_user_less(y.node());
    }
    seeds.clear();  // their nodes are enough
    std::vector<AnyTensor> found(targets ? targets->size() : 0);
    walk.loop(targets, found);
    return found;
  }

 private:
  // How many edges lead to each node below the roots; visits each node once.
  void count_users(Node* root) {
    std::vector<Node*> stack;
    const auto count = [&](Node* node) {
      const auto [it, fresh] = sink_.pending_.try_emplace(node);
      ++it->second.users;
      if (fresh) stack.push_back(node);
    };
    count(root);  // the seed itself
    while (!stack.empty()) {
      const Node* const node = stack.back();
      stack.pop_back();
      for (const Edge& e : node->edges())
        if (e) count(e.node.get());
    }
  }

  void mark_leading(const std::vector<AnyTensor>& targets, std::unordered_set<Node*>& leading) const {
    for (const auto& t : targets) {
      check<GradError>(t.requires_grad(), "grad", "a tensor to differentiate by is no variable and depends on none");
      leading.insert(t.node().get());
    }
    std::vector<Node*> nodes;
    for (const auto& [node, pending] : sink_.pending_) {
      check<GradError>(!node->hides_variables(), "grad", node->name(), " may use variables inside, where grad can't see them: use backward");
      nodes.push_back(node);
    }
    std::sort(nodes.begin(), nodes.end(), [](const Node* a, const Node* b) { return a->sequence() < b->sequence(); });
    for (Node* n : nodes)  // inputs are older than what uses them
      for (const Edge& e : n->edges())
        if (e && leading.count(e.node.get())) leading.insert(n);
  }

  static bool is_older(const std::shared_ptr<Node>& a, const std::shared_ptr<Node>& b) { return a->sequence() < b->sequence(); }
  void one_user_less(const std::shared_ptr<Node>& node) {
    if (--sink_.pending_[node.get()].users > 0) return;
    ready_.push_back(node);
    std::push_heap(ready_.begin(), ready_.end(), is_older);
  }

  void loop(const std::vector<AnyTensor>* targets, std::vector<AnyTensor>& found) {
    while (!ready_.empty()) {
      std::pop_heap(ready_.begin(), ready_.end(), is_older);  // the youngest
      const std::shared_ptr<Node> node = std::move(ready_.back());
      ready_.pop_back();
      const auto pending = sink_.pending_.find(node.get());
      std::vector<AnyTensor> grads = std::move(pending->second.grads);
      sink_.pending_.erase(pending);
      if (targets)
        for (std::size_t i = 0; i < targets->size(); ++i) {
          const AnyTensor& t = (*targets)[i];
          if (t.node() == node && !grads.empty() && grads[t.node_output()].defined())
            found[i] = GradSink::part(grads[t.node_output()], node->outputs()[t.node_output()], t.geometry());
        }
      if (node->is_leaf()) {
        if (!targets && !grads.empty() && grads[0].defined()) finish(static_cast<Leaf&>(*node), std::move(grads[0]));
        continue;
      }
      const std::span<const Edge> edges = node->edges();
      const bool flows = std::any_of(grads.begin(), grads.end(), [](const AnyTensor& g) { return g.defined(); });
      const bool runs = flows && (!targets || std::any_of(edges.begin(), edges.end(), [&](const Edge& e) { return sink_.wanted(e); }));
      if (runs) {
        const NoGrad off;
        node->backward(grads, sink_);
      }
      for (const Edge& e : edges)
        if (e) one_user_less(e.node);
      if (runs) node->release_edges();
    }
  }

  static void finish(Leaf& leaf, AnyTensor d) {
    const Dtype held = d.dtype() == Dtype::f64 ? Dtype::f64 : Dtype::f32;
    if (d.dtype() != held) d = converted(d, held);
    if (leaf.grad.defined()) {
      copy_into(leaf.grad, d, true);
    } else {
      leaf.grad = std::move(d);
    }
    if (leaf.hook) leaf.hook(leaf.grad);
  }

  GradSink sink_;
  std::vector<std::shared_ptr<Node>> ready_;  // a heap, the youngest first
};

namespace detail {
inline std::vector<std::pair<AnyTensor, AnyTensor>> seed(AnyTensor y, AnyTensor&& dy) {
  std::vector<std::pair<AnyTensor, AnyTensor>> one;
  one.emplace_back(std::move(y), std::move(dy));
  return one;
}
inline AnyTensor one_like(const AnyTensor& y, std::string_view name) {
  check_shape(y.count() == 1, name, "the tensor is ", y.sizes(), ": give its gradient, or reduce it to one number");
  AnyTensor one = AnyTensor::empty(y.dtype(), y.sizes(), y.device());
  copy_into(one, scalar(1.0f).viewed({y.sizes(), Shape::filled(y.rank(), 0), 0}));
  return one;
}
}  // namespace detail

/// Adds ∂loss/∂v to the gradient of every variable v that the loss depends on. The loss is one number.
inline void backward(const AnyTensor& loss) { BackwardWalk::run(detail::seed(loss, detail::one_like(loss, "backward"))); }
/// The same from ∂L/∂y given, which is not copied if nobody else holds it. If nobody else holds y, its memory is free during the walk.
inline void backward(AnyTensor y, AnyTensor dy) { BackwardWalk::run(detail::seed(std::move(y), std::move(dy))); }

/// ∂y/∂x for each x; y is one number. Touches no variable. Undefined where y doesn't depend on x.
inline std::vector<AnyTensor> grad(const AnyTensor& y, const std::vector<AnyTensor>& xs) { return BackwardWalk::run(detail::seed(y, detail::one_like(y, "grad")), &xs); }
/// ∂L/∂x for each x, from ∂L/∂y given.
inline std::vector<AnyTensor> grad(const AnyTensor& y, AnyTensor dy, const std::vector<AnyTensor>& xs) { return BackwardWalk::run(detail::seed(y, std::move(dy)), &xs); }

}  // namespace fg::inline FRAMEGRAD_ABI
