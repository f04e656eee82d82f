// Ema — an exponential moving average of a model's trained tensors, in f32 (f64 for double); what one samples with.
//
//   a ← d·a + (1 − d)·w        with warm-up d = min(decay, (1 + n)/(10 + n)) at update n, counted from 0
//
// It starts as a copy of the weights. With an optimizer given, w is its master: a bf16 weight would hide the small
// steps that the average is made of. Buffers stay as they are.
#pragma once

#include <framegrad/cuda/ema.hpp>
#include <framegrad/optim/adamw.hpp>

namespace fg::inline FRAMEGRAD_ABI {

namespace cpu {
struct EmaUpdate {
  template <int B, class A, class T>
  FRAMEGRAD_INLINE static void run(Index n, A decay, A* average, const T* w) {
    using V = Vec<A, B>;
    const V d(decay), rest(A(1) - decay);
    each<V>(n, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(average, l.load(average) * d + l.load(w) * rest); });
  }
};
}  // namespace cpu

struct EmaOptions {
  double decay = 0.9999;
  bool warmup = false;
};

class Ema {
 public:
  /// Of the tensors of `params` that are trainable now, starting from their values.
  explicit Ema(const Params& params, EmaOptions options = {}) : options_(options) {
    check<ConfigError>(options.decay >= 0 && options.decay < 1, "Ema", "decay is ", options.decay, ", it must be in [0, 1)");
    for (const auto& slot : params.trainable()) {
      const AnyTensor& w = slot->value;
      AnyTensor a = AnyTensor::empty(w.dtype() == Dtype::f64 ? Dtype::f64 : Dtype::f32, w.sizes(), w.strides(), w.device());
      copy_into(a, w);
      slots_.push_back(slot);
      averages_.push_back({slot->name, a});
    }
  }
  Ema(const Ema&) = delete;
  Ema& operator=(const Ema&) = delete;

  /// Takes the weights in, from the optimizer's masters where one is given. Throws ConfigError while exchanged, DeviceError unless the weights
  /// and their averages are on one device.
  void update(const AdamW* masters = nullptr) {
    check<ConfigError>(!exchanged(), "Ema", "update while the model holds the average");
    const double n = double(updates_++);
    const double decay = options_.warmup ? std::min(options_.decay, (1 + n) / (10 + n)) : options_.decay;
    std::vector<AnyTensor> weights;
    std::vector<Index> counts;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      const AnyTensor& a = averages_[i].tensor;
      weights.push_back(masters ? masters->weight(*slots_[i]) : slots_[i]->value.detach());
      const AnyTensor& w = weights.back();
      check_shape(w.sizes() == a.sizes() && w.strides() == a.strides(), "Ema", slots_[i]->name, " is now ", w.sizes(), " with strides ", w.strides(), ", its average ", a.sizes(),
                  " with ", a.strides());
      check_dtype((w.dtype() == Dtype::f64) == (a.dtype() == Dtype::f64), "Ema", slots_[i]->name, " is now ", w.dtype(), ", its average ", a.dtype());
      check<DeviceError>(w.device() == a.device() && a.device() == averages_.front().tensor.device(), "Ema", slots_[i]->name, " is on ", w.device(), ", its average on ", a.device(),
                         ", the first average on ", averages_.front().tensor.device());
      counts.push_back(a.is_meta() ? 0 : a.count());
    }
    if (!averages_.empty() && averages_.front().tensor.device().kind == Device::Kind::cuda) return take_on(averages_.front().tensor.device(), weights, float(decay));
    for_chunks(cut_into_chunks(counts, 32768), 0.7, [&](const Chunk& c) { take(c, averages_[std::size_t(c.tensor)].tensor, weights[std::size_t(c.tensor)], decay); });
  }

  /// Exchanges the model's weights with the average, rounded to the weights' type; a second call exchanges them back, bit for
  /// bit. Nothing is copied for f32. In between the optimizer must not step.
  void swap() {
    if (exchanged()) {
      for (std::size_t i = 0; i < slots_.size(); ++i) put(*slots_[i], weights_[i]);
      weights_.clear();
      return;
    }
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      weights_.push_back(slots_[i]->value.detach());
      put(*slots_[i], converted(averages_[i].tensor, slots_[i]->value.dtype()));
    }
  }
  bool exchanged() const { return !weights_.empty(); }

  /// While it lives, the model holds the average.
  class Scope {
   public:
    explicit Scope(Ema& ema) : ema_(ema) { ema_.swap(); }
    ~Scope() { ema_.swap(); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Ema& ema_;
  };

  /// The averages under their tensors' names.
  const NamedTensors& averages() const { return averages_; }
  Index updates() const { return updates_; }

  /// What a resumed run needs: the averages, and "ema.updates" (int64, rank 0).
  NamedTensors state() const {
    NamedTensors s = averages_;
    s.push_back({"ema.updates", scalar<std::int64_t>(updates_)});
    return s;
  }
  /// Continues bit for bit from what state() gave. Throws FileError "origin: …" with all that doesn't fit.
  void load(const NamedTensors& saved, std::string_view origin = "Ema") {
    const NamedTensors mine = state();
    restore(mine, saved, origin, {.convert = false});
    updates_ = *static_cast<const std::int64_t*>(mine.back().tensor.raw());
  }

 private:
  static void put(Slot& slot, AnyTensor t) {
    if (slot.value.node()) t.attach(slot.value.node(), slot.value.node_output());
    slot.value = t;
  }

  /// The update in one launch. Without kernels no tensor is on a GPU.
  void take_on([[maybe_unused]] Device device, [[maybe_unused]] const std::vector<AnyTensor>& weights, [[maybe_unused]] float decay) const {
    if constexpr (kWithCuda) {
      std::vector<cuda::EmaTensor> table;
      for (std::size_t i = 0; i < weights.size(); ++i) {
        const AnyTensor& w = weights[i];
        if (w.dtype() == Dtype::f64) throw MissingKernel(text("Ema: ", slots_[i]->name, " is double on ", device, ": there float, bf16 and half are averaged"));
        table.push_back({{.count = w.count(), .low_dtype = w.dtype()}, static_cast<float*>(averages_[i].tensor.raw()), w.raw()});
      }
      const cuda::DeviceScope scope(device.index);
      cuda::ema_update(table, decay, 1.0f - decay);
    }
  }

  static void take(const Chunk& c, const AnyTensor& average, const AnyTensor& weight, double decay) {
    const auto move = [&]<class A, class T>(A, T) {
      cpu::dispatch<cpu::EmaUpdate>(c.count, A(decay), static_cast<A*>(average.raw()) + c.begin, static_cast<const T*>(weight.raw()) + c.begin);
    };
    switch (weight.dtype()) {
      case Dtype::f64: return move(double{}, double{});
      case Dtype::bf16: return move(float{}, bf16{});
      case Dtype::f16: return move(float{}, half{});
      default: return move(float{}, float{});
    }
  }

  EmaOptions options_;
  std::vector<std::shared_ptr<Slot>> slots_;
  NamedTensors averages_;
  std::vector<AnyTensor> weights_;  // the model's own, while exchanged
  Index updates_ = 0;
};

}  // namespace fg::inline FRAMEGRAD_ABI
