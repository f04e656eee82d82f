// Recorded — a function of tensors that a GPU is given as one graph: its launches are queued at once, not one after the other.
//
//   struct In  { Tensor<float, 5> x; Tensor<float, 1> t; };
//   struct Out { Tensor<float, 5> y; };
//   Recorded<In, Out> network([&](const In& in) { return Out{model(in.x, in.t)}; }, params);
//   const Tensor<float, 5> y = network({x, t}).y;
//
// In and Out hold tensors, optional tensors and lists of them, as an op's do. The first call with inputs of some sizes runs the function twice: once
// as it is, once to record it (core/recording.hpp). Later calls copy their inputs to where the recorded ones are, and replay. On a CPU a call is a call.
//
// The function may read its inputs, the parameters and what it holds itself. All else that changes from call to call must be an input, numbers
// included: a number is part of a recorded launch. What can't be recorded is listed in core/recording.hpp; a function that does it anyway runs op by op,
// and why_not() says what it was. Outputs carry no graph; their memory is written again by the next call with inputs of these sizes.
//
// Recordings share their memory, but for inputs and outputs. They are made anew when a parameter's memory has been exchanged (moved, averaged,
// frozen), and on another thread. There are at most kMostRecordings, for as many sizes; inputs of further sizes run op by op.
#pragma once

#include <optional>
#include <thread>

#include <framegrad/core/fields.hpp>
#include <framegrad/core/recording.hpp>
#include <framegrad/nn/params.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// A struct's tensors on a device; those that are there already stay as they are.
template <class In>
In on_device(In in, Device device) {
  for_each_tensor(in, [&](auto& t) {
    if (t.defined()) t = std::remove_reference_t<decltype(t)>(to(static_cast<const AnyTensor&>(t), device));
  });
  return in;
}

template <class In, class Out>
class Recorded {
 public:
  using Function = std::function<Out(const In&)>;
  static constexpr std::size_t kMostRecordings = 8;

  /// `on`: false runs op by op.
  Recorded(Function f, Params params, bool on = true) : f_(std::move(f)), params_(std::move(params)), on_(on) {}

  /// Inputs are brought to where the parameters are. Throws what the function throws, and GradError if an input or output carries a graph.
  Out operator()(const In& in) {
    for_each_tensor(in, [](const auto& t) { check_plain(t, "input"); });
    if constexpr (kWithCuda)
      if (on_ && params_.device().kind == Device::Kind::cuda && !TrialRun::under_way() && !cuda::is_recording()) {
        const cuda::DeviceScope scope(params_.device().index);
        forget_what_moved();
        if (const Recording* r = recording_of(in)) {
          take(in, r->in);
          r->replay();
          return r->out;
        }
      }
    return checked(f_(on_device(in, params_.device())));
  }

  /// Why a function that should be recorded runs op by op: the message of the DeviceError that ended it. Empty if it doesn't.
  const std::string& why_not() const { return why_not_; }
  Index recordings() const { return Index(recordings_.size()); }

 private:
  struct Recording {
    std::string key;
    In in;
    Out out;
    Replay replay;
  };
  /// A parameter's memory and place in the graph, held so that no other can have their addresses.
  struct Place {
    std::shared_ptr<Storage> memory;
    std::shared_ptr<Node> node;
    bool operator==(const Place&) const = default;
  };

  static void check_plain(const AnyTensor& t, std::string_view what) {
    check<GradError>(!t.requires_grad(), "recorded", "an ", what, " ", t.sizes(), " depends on a variable: detach it");
  }
  static Out checked(Out out) {
    for_each_tensor(out, [](const auto& t) { check_plain(t, "output"); });
    return out;
  }

  /// What one recording serves: types, sizes and orders of axes of what is there, and whether gradients are asked for.
  static std::string key_of(const In& in) {
    std::string key = grad_enabled() ? "grad" : "no grad";
    const auto add = [&](const AnyTensor& t) {
      if (!t.defined()) return key += "; none", void();
      key += text("; ", t.dtype(), t.sizes(), order(t));
    };
    detail::for_each_field(in, [&](const auto& field) {
      if constexpr (OptionalField<decltype(field)>) {
        add(field ? AnyTensor(*field) : AnyTensor());
      } else if constexpr (ListField<decltype(field)>) {
        key += text("; ", field.size(), " of");
        for (const auto& t : field) add(t);
      } else {
        add(field);
      }
    });
    return key;
  }
  static Strides order(const AnyTensor& t) { return dense_strides(t.sizes(), t.geometry()); }

  static void take(const In& from, const In& to) {
    std::vector<AnyTensor> given;
    for_each_tensor(from, [&](const auto& t) { given.push_back(t); });
    std::size_t i = 0;
    for_each_tensor(to, [&](const auto& t) {
      if (t.defined()) copy_into(t, given[i]);
      ++i;
    });
  }

  /// Recordings of other parameters than there are now, or of another thread's stream.
  void forget_what_moved() {
    std::vector<Place> now;
    for (const auto& slot : params_.slots()) now.push_back({slot->value.storage(), slot->value.node()});
    if (now == places_ && thread_ == std::this_thread::get_id()) return;
    recordings_.clear();
    places_ = std::move(now), thread_ = std::this_thread::get_id();
  }

  /// Null where there is none and can be none.
  const Recording* recording_of(const In& in) {
    std::string key = key_of(in);
    for (const auto& r : recordings_)
      if (r.key == key) return &r;
    if (recordings_.size() == kMostRecordings) return nullptr;

    const Device device = params_.device();
    if (!pool_) pool_.emplace(device);
    Recording r{std::move(key), in, {}, {}};
    for_each_tensor(r.in, [&](auto& t) {
      if (t.defined()) t = std::remove_reference_t<decltype(t)>(AnyTensor::empty(t.dtype(), t.sizes(), order(t), device));
    });
    take(in, r.in);
    {
      const TrialRun trial(*pool_);  // also loads kernels and makes handles, which a recording can't
      checked(f_(r.in));
    }
    try {
      RecordingScope scope(*pool_);
      r.out = f_(r.in);
      r.replay = scope.end();
    } catch (const DeviceError& e) {  // a RecordingError, or a library's own refusal
      why_not_ = e.what();
      on_ = false;
      recordings_.clear();
      pool_.reset();
      return nullptr;
    }
    return &recordings_.emplace_back(std::move(r));
  }

  Function f_;
  Params params_;
  bool on_;
  std::string why_not_;
  std::optional<Pool> pool_;
  std::vector<Recording> recordings_;
  std::vector<Place> places_;
  std::thread::id thread_;
};

}  // namespace fg::inline FRAMEGRAD_ABI
