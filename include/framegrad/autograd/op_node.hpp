// OpNode — the graph's node of an op (op.hpp): what it saved, and how its backward is run.
//
// A tensor that products read and backward needs is not kept if the op that made it can make it again in one pass over what it keeps itself: it has
// `recompute(device, attrs, saved, out)`, as norms and activations do. The next op's node then holds a promise of it, an edge, in the tensor's place.
// In f32 it has the same bits again. An op that reads what it has rounded itself (linear's activation) may differ in bf16's last one.
#pragma once

#include <atomic>
#include <utility>

#include <framegrad/autograd/backward.hpp>
#include <framegrad/autograd/trace.hpp>
#include <framegrad/core/fields.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// Activations of at least so many bytes are computed again in backward where one pass will do, in place of being kept. All threads share it.
inline std::atomic<Index>& recompute_from_bytes() {
  static std::atomic<Index> bytes{Index(1) << 20};
  return bytes;
}

namespace detail {

/// An op whose output can be made again from what it saved; `can_recompute(saved)` if that takes less than all of it.
template <class O>
concept Recomputes = requires(const typename O::Attrs& a, const typename O::Saved& s, typename O::Out& out) { O::recompute(Cpu{}, a, s, out); };
/// An op beside whose arithmetic a pass over its inputs is little.
template <class O>
concept CountsFlops = requires(const typename O::Attrs& a, const typename O::In& in) { O::flops(a, in); };

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
    if constexpr (CountsFlops<O>) take_promises(edges);
    for_each_tensor(saved_, [&](const auto& t) {
      if (t.allocated()) versions_.push_back(t.storage()->version());
    });
    if (KeptMemory::instance().on) {
      std::vector<AnyTensor> kept;
      for_each_tensor(saved_, [&](const auto& t) { kept.push_back(t); });
      KeptMemory::instance().add(O::name, kept);
    }
    for_each_field(in, [&](const auto& field) {
      if constexpr (OptionalField<decltype(field)>) lengths_.push_back(field.has_value());
      else if constexpr (ListField<decltype(field)>) lengths_.push_back(field.size());
      else lengths_.push_back(1);
    });
    for_each_tensor(in, [&](const auto& t) { seen_.push_back(t.geometry()); });
    set_edges(std::move(edges));
  }

  /// Of an op that recomputes: what it made.
  void made(const AnyTensor& out) { made_ = out.storage().get(), made_version_ = out.storage()->version(); }

  bool promise(const AnyTensor& t) override {
    if constexpr (Recomputes<O>) {
      // Whoever asks holds t, and an edge to here: its memory is no other that came to lie at the same address.
      if (t.storage().get() != made_ || t.storage()->version() != made_version_ || !can_recompute()) return false;
      ++promises_;
      return true;
    }
    return false;
  }

  AnyTensor keep_promise() override {
    if constexpr (Recomputes<O>) {
      if (!again_.defined()) {
        check_saved();
        again_ = recomputed();
      }
      if (--promises_ > 0) return again_;  // the next will ask for it soon: they run one after the other
    }
    return std::exchange(again_, {});
  }

  void backward(std::vector<AnyTensor>& grads, GradSink& sink) override {
    check_saved();
    std::size_t i = 0;
    if constexpr (CountsFlops<O>)
      if (!promised_.empty()) for_each_tensor(saved_, [&](auto& t) {
        if (const std::uint32_t edge = promised_[i++]) t = std::remove_reference_t<decltype(t)>(promised(edges()[edge - 1]));
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
    saved_ = {}, again_ = {};
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
  static constexpr std::size_t kInputs = std::size_t(count_fields<In>()), kSaved = std::size_t(count_fields<Saved>());

  void check_saved() const {
    check<GradError>(!released_, name(), "backward a second time: what it saved is gone; run forward again");
    std::size_t i = 0, at = 0;
    for_each_tensor(saved_, [&](const auto& t) {
      const bool kept = promised_.empty() || !promised_[at++];  // what a promise brought may still be here after an exception
      if (kept && t.allocated()) check<GradError>(t.storage()->version() == versions_[i++], name(), "a tensor ", t.sizes(), " saved for backward was changed since");
    });
  }

  /// Lets go of every saved tensor that the op at its edge promises to make again.
  void take_promises(const Edges& edges) {
    std::size_t i = 0;
    for_each_tensor(saved_, [&](auto& t) {
      ++i;
      if (!t.allocated() || t.bytes() < recompute_from_bytes().load(std::memory_order_relaxed)) return;
      for (std::size_t e = 0; e < edges.size(); ++e) {
        if (!edges[e] || !(edges[e].view == t.geometry()) || !edges[e].node->promise(t)) continue;
        while (promised_.size() < i - 1) promised_.push_back(0);
        promised_.push_back(std::uint32_t(e + 1));
        t = {};
        return;
      }
    });
    if (!promised_.empty())
      while (promised_.size() < i) promised_.push_back(0);
  }
  static AnyTensor promised(const Edge& e) { return e.node->keep_promise().viewed(e.view); }

  bool can_recompute() const {
    if constexpr (requires { O::can_recompute(saved_); }) return O::can_recompute(saved_);
    else return promised_.empty();
  }
  AnyTensor recomputed() const requires Recomputes<O> {
    const OutputInfo& info = outputs()[0];
    typename O::Out out{};
    auto& [y] = out;
    y = std::remove_reference_t<decltype(y)>(AnyTensor::empty(info.dtype, info.geometry.sizes, info.geometry.strides, info.device));
    if (info.device.kind == Device::Kind::meta) return y;
    TraceScope trace(name(), "recompute");
    if (info.device.kind == Device::Kind::cpu) {
      O::recompute(Cpu{}, attrs_, saved_, out);
    } else if constexpr (HasCuda<O>) {
      const cuda::DeviceScope scope(info.device.index);
      O::recompute(Cuda{}, attrs_, saved_, out);
    }
    if (trace.on()) {
      trace.bytes = y.bytes();
      for_each_tensor(saved_, [&](const auto& t) { trace.bytes += t.allocated() ? t.bytes() : 0; });
    }
    return y;
  }

  typename O::Attrs attrs_;
  Saved saved_;
  Few<Geometry, kInputs> seen_;                // of each input, as forward had it
  Few<std::size_t, kInputs> lengths_;          // of each field of In: how many tensors it held
  Few<std::uint64_t, kSaved> versions_;        // of what is saved
  Few<std::uint32_t, kSaved> promised_;        // for each tensor of saved_ the edge that has it, from 1 on, or 0; empty if none has
  const Storage* made_ = nullptr;              // the output's memory, for comparing alone
  std::uint64_t made_version_ = 0;
  int promises_ = 0;                           // not kept yet
  AnyTensor again_;                            // between two of them
  double flops_;
  bool released_ = false;
};

}  // namespace detail
}  // namespace fg::inline FRAMEGRAD_ABI
