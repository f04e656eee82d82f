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

inline Device common_device(const std::vector<AnyTensor>& inputs, std::string_view name) {
  Device device = kCpu;
  for (const auto& t : inputs) {
    if (!t.allocated()) continue;
    if (t.is_meta()) return kMeta;
    if (t.device() != kCpu) device = t.device();
  }
  for (const auto& t : inputs)
    check<DeviceError>(!t.allocated() || t.device() == device, name, "one input is on ", t.device(), ", another on ", device);
  return device;
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
 public:
  OpNode(const typename O::Attrs& attrs, typename O::Saved saved, std::vector<Geometry> seen)
      : Node(O::name), attrs_(attrs), saved_(std::move(saved)), seen_(std::move(seen)) {
    for_each_tensor(saved_, [&](auto& t) {
      if (t.allocated()) versions_.push_back(t.storage()->version());
    });
  }

  /// The inputs' structure, so that gradients come back in the same struct.
  void remember(typename O::In in) {
    if constexpr (requires { O::flops(attrs_, in); }) flops_ = double(O::flops(attrs_, in));
    for_each_tensor(in, [](auto& t) { t = std::remove_reference_t<decltype(t)>(AnyTensor::described(t.dtype(), t.sizes(), t.strides())); });
    in_ = std::move(in);
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
        t = std::remove_reference_t<decltype(t)>(grads[i]);
      } else if (is_floating_dtype(info.dtype)) {
        t = std::remove_reference_t<decltype(t)>(zeros_like(AnyTensor::empty(info.dtype, info.geometry.sizes, info.geometry.strides, info.device)));
      }
      ++i;
    });
    grads.clear();

    std::vector<AnyTensor> targets = sink.prepare(edges(), seen_);
    typename O::In d = std::move(in_);
    std::vector<AnyTensor*> fields;  // one an edge; null where an optional's gradient isn't wanted
    for_each_field(d, [&](auto& field) {
      const auto put = [&](auto& t) {
        t = std::remove_reference_t<decltype(t)>(targets[fields.size()]);
        fields.push_back(&t);
      };
      if constexpr (requires { field.has_value(); }) {
        if (!field) return;
        if (targets[fields.size()].defined()) return put(*field);
        field.reset();
        fields.push_back(nullptr);
      } else if constexpr (requires { field.resize(0); }) {
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
    if (detect_anomaly() && device.kind != Device::Kind::meta)
      for (const auto& t : targets)
        if (t.defined()) check_no_nan(t, name(), "backward");
    sink.commit(edges(), targets);
  }

 private:
  typename O::Attrs attrs_;
  typename O::Saved saved_;
  typename O::In in_;
  std::vector<Geometry> seen_;
  std::vector<std::uint64_t> versions_;
  double flops_ = 0;  // of forward
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
  std::vector<AnyTensor> given;
  given.reserve(4);
  for_each_tensor(in, [&](const auto& t) { given.push_back(t); });
  for (const auto& t : given) check<ShapeError>(t.defined(), name, "an input is undefined");
  const Device device = common_device(given, name);
  if constexpr (!HasCuda<O>)
    if (device.kind == Device::Kind::cuda) no_kernel<O>(device, "forward");

  // Inputs as the op takes them.
  const AnyTensor* main = nullptr;
  AnyTensor main_arranged;
  for_each_tensor(in, [&](auto& t) {
    t = std::remove_reference_t<decltype(t)>(arranged(t, main, layout_of<O>()));
    if (!main) main_arranged = t, main = &main_arranged;
    t.attach(nullptr, 0);
  });

  typename O::Out out{};
  typename O::Saved saved{};
  O::infer(attrs, in, out, saved);
  allocate_described(out, device);

  bool record = false;
  if (grad_enabled()) {
    bool any_floating = false;
    for_each_tensor(out, [&](const auto& t) { any_floating = any_floating || is_floating_dtype(t.dtype()); });
    for (const auto& t : given) record = record || (any_floating && t.requires_grad());
  }
  if (record) {
    if constexpr (requires { O::keep(out, saved); }) O::keep(out, saved);
    allocate_described(saved, device);
  }

  if (device.kind != Device::Kind::meta) {
    TraceScope trace(name, "forward");
    if (device.kind == Device::Kind::cpu) {
      O::forward(Cpu{}, attrs, std::as_const(in), out, record ? &saved : nullptr);
    } else if constexpr (HasCuda<O>) {
      const cuda::DeviceScope scope(device.index);
      O::forward(Cuda{}, attrs, std::as_const(in), out, record ? &saved : nullptr);
    }
    if (trace.on()) {
      for (const auto& t : given) trace.bytes += t.bytes();
      for_each_tensor(out, [&](const auto& t) { trace.bytes += t.bytes(); });
      if constexpr (requires { O::flops(attrs, in); }) trace.flops = double(O::flops(attrs, in));
    }
    if (detect_anomaly())
      for_each_tensor(out, [&](const auto& t) { check_no_nan(t, name, "forward"); });
  }
  if constexpr (requires { O::flops(attrs, in); }) count_flops(double(O::flops(attrs, in)), record);

  if (record) {
    if constexpr (HasBackward<O>) {
      std::vector<Geometry> seen;
      seen.reserve(given.size());
      for_each_tensor(in, [&](const auto& t) { seen.push_back(t.geometry()); });
      if (KeptMemory::instance().on) {
        std::vector<AnyTensor> kept;
        for_each_tensor(saved, [&](const auto& t) { kept.push_back(t); });
        KeptMemory::instance().add(name, kept);
      }
      // A saved output must not hold its own node: it would never be freed.
      const auto node = std::make_shared<OpNode<O>>(attrs, std::move(saved), std::move(seen));
      node->remember(std::move(in));
      node->set_edges(given);
      for_each_tensor(out, [&](auto& t) {
        AnyTensor any = t;
        node->add_output(any);
        if (is_floating_dtype(any.dtype())) t = std::remove_reference_t<decltype(t)>(any);
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
