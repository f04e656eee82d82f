// What an op is, and apply<O>(), the only code that knows the graph, the device and allocation.
//
// An op is a struct of five parts. For ops::Gate<T>, T the scalar type:
//
//   Attrs    numbers fixed at the call
//   In       the inputs, by name: Tensor<T>, std::optional<Tensor<T>>, std::vector<Tensor<T>>
//   Out      the outputs
//   Saved    what backward needs; tensors of `in` are shared, not copied
//   infer    every check; describes Out and Saved (of_shape, like). Runs before anything is allocated
//   forward  (Cpu, attrs, in, out, saved): saved is null when nothing is recorded
//   backward (Cpu, attrs, saved, g, d): g holds ∂L/∂out; in d stand just the wanted gradients, allocated, to be written fully
//   keep     (out, saved), for an op whose gradient reads its own outputs: puts them into saved
//   recompute  (Cpu, attrs, saved, out), for an op of one output that takes one pass: makes it again, so that nobody keeps it (autograd/op_node.hpp)
//
// Both once more for Cuda, calling the launchers of cuda/<op>.hpp; without them apply throws MissingKernel for a tensor on a GPU,
// and builds without CUDA never instantiate them. A trailing `requires OnDevice<T>` says for which scalar types there are kernels.
//
// and says with `layout` how it takes its inputs (autograd/layout.hpp; rows if it says nothing), and with `flops(attrs, in)` what it computes.
#pragma once

#include <framegrad/autograd/layout.hpp>
#include <framegrad/autograd/op_node.hpp>

namespace fg::inline FRAMEGRAD_ABI {

namespace detail {

template <class O>
constexpr Layout layout_of() {
  if constexpr (requires { O::layout; }) return O::layout;
  else return Layout::rows;
}

template <class S>
void allocate_described(S& s, Device device) {
  for_each_tensor(s, [&](auto& t) {
    if (t.defined() && !t.allocated()) t.allocate(device);
  });
}

template <class O>
concept HasBackward = requires(const typename O::Attrs& a, const typename O::Saved& s, const typename O::Out& g, typename O::In& d) { O::backward(Cpu{}, a, s, g, d); };

/// Out, or its tensor if there is just one.
template <class O>
auto returned(typename O::Out out) {
  if constexpr (count_fields<typename O::Out>() == 1) {
    auto& [only] = out;
    return std::move(only);
  } else {
    return out;
  }
}

/// apply's work. A class, and its function defined outside: `extern template struct Applied<O>` then says that an op is compiled elsewhere.
template <class O>
struct Applied {
  using Result = decltype(returned<O>(std::declval<typename O::Out>()));
  static Result run(const typename O::Attrs& attrs, typename O::In in);
};

template <class O>
typename Applied<O>::Result Applied<O>::run(const typename O::Attrs& attrs, typename O::In in) {
  static constexpr std::string_view name = O::name;
  Inputs inputs;
  for_each_tensor(in, [&](auto& t) { inputs.push_back(&t); });
  bool record = false;
  for (const AnyTensor* t : inputs) {
    check<ShapeError>(t->defined(), name, "an input is undefined");
    record = record || t->requires_grad();
  }
  record = record && grad_enabled();
  const Device device = common_device(inputs, name);
  if constexpr (!HasCuda<O>)
    if (device.kind == Device::Kind::cuda) no_kernel<O>(device, "forward");
  Edges edges = arranged(inputs, layout_of<O>());

  typename O::Out out{};
  typename O::Saved saved{};
  O::infer(attrs, in, out, saved);
  allocate_described(out, device);

  bool any_floating = false;
  for_each_tensor(out, [&](const auto& t) { any_floating = any_floating || is_floating_dtype(t.dtype()); });
  record = record && any_floating;
  if (record) {
    if constexpr (requires { O::keep(out, saved); }) O::keep(out, saved);
    allocate_described(saved, device);
  }

  double flops = 0;
  if constexpr (requires { O::flops(attrs, in); }) flops = double(O::flops(attrs, in));
  if (device.kind != Device::Kind::meta) {
    TraceScope trace(name, "forward");
    if (device.kind == Device::Kind::cpu) {
      O::forward(Cpu{}, attrs, std::as_const(in), out, record ? &saved : nullptr);
    } else if constexpr (HasCuda<O>) {
      const cuda::DeviceScope scope(device.index);
      O::forward(Cuda{}, attrs, std::as_const(in), out, record ? &saved : nullptr);
    }
    if (trace.on()) {
      for (const AnyTensor* t : inputs) trace.bytes += t->bytes();
      for_each_tensor(out, [&](const auto& t) { trace.bytes += t.bytes(); });
      trace.flops = flops;
    }
    if (detect_anomaly())
      for_each_tensor(out, [&](const auto& t) { check_no_nan(t, name, "forward"); });
  }
  count_flops(flops, record);

  if (record) {
    if constexpr (HasBackward<O>) {
      // A saved output must not hold its own node: it would never be freed.
      const auto node = std::make_shared<OpNode<O>>(attrs, in, std::move(saved), std::move(edges), flops);
      for_each_tensor(out, [&](auto& t) {
        add_output(node, t);
        if constexpr (Recomputes<O>) node->made(t);
      });
    } else {
      throw GradError(text(name, ": has no backward; detach its inputs or run it under NoGrad"));
    }
  }

  return returned<O>(std::move(out));
}

}  // namespace detail

/// Runs an op and records it if a gradient may be asked for. Returns Out, or its tensor if there is just one.
template <class O>
auto apply(const typename O::Attrs& attrs, typename O::In in) {
  return detail::Applied<O>::run(attrs, std::move(in));
}

/// [..., C] → rows and C, for an op that walks rows.
struct Rows {
  Index rows, C;
};
inline Rows collapse_to_rows(const AnyTensor& x) {
  const Index C = x.rank() ? x.size(-1) : 1;
  return {C == 0 ? 0 : x.count() / C, C};
}

/// What a condition says of each sample: t is [B, 1, ..., 1, C] for x [B, ..., C]. Throws ShapeError.
inline void check_per_sample(const AnyTensor& x, const AnyTensor& t, std::string_view op, std::string_view what) {
  check_shape(x.rank() >= 2, op, "x is ", x.sizes(), ", [B, ..., C] is needed");
  Shape wanted = Shape::filled(x.rank(), 1);
  wanted[0] = x.size(0), wanted[x.rank() - 1] = x.size(-1);
  check_shape(t.sizes() == wanted, op, what, " is ", t.sizes(), ", x needs ", wanted);
}

}  // namespace fg::inline FRAMEGRAD_ABI
