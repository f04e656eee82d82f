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
//
// Both once more for Cuda, calling the launchers of cuda/<op>.hpp; without them apply throws MissingKernel for a tensor on a GPU,
// and builds without CUDA never instantiate them. A trailing `requires OnDevice<T>` says for which scalar types there are kernels.
//
// and says with `layout` how it takes its inputs (autograd/layout.hpp; rows if it says nothing), and with `flops(attrs, in)` what it computes.
#pragma once

#include <chrono>

#include <framegrad/autograd/backward.hpp>
#include <framegrad/autograd/layout.hpp>
#include <framegrad/autograd/trace.hpp>
#include <framegrad/core/fields.hpp>

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
concept HasCuda = kWithCuda && requires(const typename O::Attrs& a, const typename O::In& in, typename O::Out& out, typename O::Saved* s) { O::forward(Cuda{}, a, in, out, s); };
template <class O>
concept HasCudaBackward =
    kWithCuda && requires(const typename O::Attrs& a, const typename O::Saved& s, const typename O::Out& g, typename O::In& d) { O::backward(Cuda{}, a, s, g, d); };

template <class O>
[[noreturn]] void no_kernel(Device device, std::string_view direction) {
  throw MissingKernel(text(O::name, ": has no ", direction, " kernel for this scalar type on ", device, kWithCuda ? "" : " in this build: link framegrad::cuda"));
}

/// The graph's node of an op. Holds the five parts' memory between the two directions.
template <class O>
class OpNode final : public Node {
  using In = typename O::In;
  using Saved = typename O::Saved;

 public:
  /// `in` as forward had it; `flops` of forward.
  OpNode(const typename O::Attrs& attrs, const In& in, Saved&& saved, Edges&& edges, double flops) : Node(O::name), attrs_(attrs), saved_(std::move(saved)), flops_(flops) {
    for_each_tensor(saved_, [&](const auto& t) {
      if (t.allocated()) versions_.push_back(t.storage()->version());
    });
    for_each_field(in, [&](const auto& field) {
      if constexpr (OptionalField<decltype(field)>) lengths_.push_back(field.has_value());
      else if constexpr (ListField<decltype(field)>) lengths_.push_back(field.size());
      else lengths_.push_back(1);
    });
    for_each_tensor(in, [&](const auto& t) { seen_.push_back(t.geometry()); });
    set_edges(std::move(edges));
  }

  void backward(std::vector<AnyTensor>& grads, GradSink& sink) override {
    check<GradError>(!released_, name(), "backward a second time: what it saved is gone; run forward again");
    std::size_t i = 0;
    for_each_tensor(saved_, [&](auto& t) {
      if (t.allocated())
        check<GradError>(t.storage()->version() == versions_[i++], name(), "a tensor ", t.sizes(), " saved for backward was changed since");
    });

    typename O::Out g{};
    i = 0;
    Device device = kCpu;
    for_each_tensor(g, [&](auto& t) {
      const OutputInfo& info = outputs()[i];
      device = info.device;
      if (i < grads.size() && grads[i].defined()) {
        t = std::remove_reference_t<decltype(t)>(std::move(grads[i]));
      } else if (is_floating_dtype(info.dtype)) {
        t = std::remove_reference_t<decltype(t)>(zeros_like(AnyTensor::empty(info.dtype, info.geometry.sizes, info.geometry.strides, info.device)));
      }
      ++i;
    });
    grads.clear();

    std::vector<AnyTensor> targets = sink.prepare(edges(), seen_);
    In d{};
    Few<AnyTensor*, kInputs> fields;  // one an edge; null where an optional's gradient isn't wanted
    const std::size_t* length = lengths_.begin();
    for_each_field(d, [&](auto& field) {
      const std::size_t n = *length++;
      const auto put = [&](auto& t) {
        t = std::remove_reference_t<decltype(t)>(targets[fields.size()]);
        fields.push_back(&t);
      };
      if constexpr (OptionalField<decltype(field)>) {
        if (n == 0) return;
        if (targets[fields.size()].defined()) return put(field.emplace());
        fields.push_back(nullptr);
      } else if constexpr (ListField<decltype(field)>) {
        field.resize(n);
        for (auto& t : field) put(t);
      } else {
        put(field);
      }
    });
    if (device.kind != Device::Kind::meta) {
      TraceScope trace(name(), "backward");
      if (device.kind == Device::Kind::cpu) {
        O::backward(Cpu{}, attrs_, saved_, g, d);
      } else if constexpr (HasCudaBackward<O>) {
        const cuda::DeviceScope scope(device.index);
        O::backward(Cuda{}, attrs_, saved_, g, d);
      } else {
        no_kernel<O>(device, "backward");
      }
      if (trace.on()) {
        trace.flops = 2 * flops_;
        const auto count = [&](const auto& t) { trace.bytes += t.defined() ? t.bytes() : 0; };
        for_each_tensor(saved_, count), for_each_tensor(g, count), for_each_tensor(d, count);
      }
    }
    saved_ = {};
    released_ = true;
    // An op that passes a gradient through says d.x = g.y: the tensor moves on, and nothing is copied.
    g = {};
    for (i = 0; i < fields.size(); ++i) {
      if (!fields[i] || !targets[i].defined() || fields[i]->storage() == targets[i].storage()) continue;
      targets[i] = sink.replace(edges()[i], i, targets[i], std::move(*fields[i]));
    }
    d = {};  // the sink takes over what nobody else holds
    if (detect_anomaly() && device.kind != Device::Kind::meta)
      for (const auto& t : targets)
        if (t.defined()) check_no_nan(t, name(), "backward");
    sink.commit(edges(), targets);
  }

 private:
  static constexpr std::size_t kInputs = std::size_t(count_fields<In>());

  typename O::Attrs attrs_;
  Saved saved_;
  Few<Geometry, kInputs> seen_;                                         // of each input, as forward had it
  Few<std::size_t, kInputs> lengths_;                                   // of each field of In: how many tensors it held
  Few<std::uint64_t, std::size_t(count_fields<Saved>())> versions_;     // of what is saved
  double flops_;
  bool released_ = false;
};

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
      if (KeptMemory::instance().on) {
        std::vector<AnyTensor> kept;
        for_each_tensor(saved, [&](const auto& t) { kept.push_back(t); });
        KeptMemory::instance().add(name, kept);
      }
      // A saved output must not hold its own node: it would never be freed.
      const auto node = std::make_shared<OpNode<O>>(attrs, in, std::move(saved), std::move(edges), flops);
      for_each_tensor(out, [&](auto& t) { add_output(node, t); });
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
