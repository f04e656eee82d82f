// AdamW — Adam with decoupled weight decay (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1; Loshchilov and Hutter 2019,
// arXiv:1711.05101, algorithm 2).
//
//   g ← s·g                       s: clipping and accumulation in one factor (clip.hpp)
//   w ← w − η·λ·w
//   m ← β₁·m + (1 − β₁)·g         v ← β₂·v + (1 − β₂)·g²
//   w ← w − η·(m / (1 − β₁ᵏ)) / (√(v / (1 − β₂ᵏ)) + eps)
//
// k counts the steps in which a tensor had a gradient; without one a tensor is left alone, decay included.
//
// Types: bf16 and half weights have an f32 master, which the step updates and then rounds into the weight. The reason:
// bf16 keeps 8 bits, so near w an update below |w|/512 rounds away, and with η = 2e-5 nearly all do; a bf16 v would even
// stop decaying, since β₂ = 0.999 takes off less than half of its last bit. Gradients arrive in f32 (autograd/graph.hpp), m and v are f32
// too; for double everything is double. These 12 bytes a weight buy f32's training curve at bf16's speed.
//
// Accumulation over n batches needs nothing here: backward adds into the gradients, so call it n times, then step with
// s = 1/n (times the clipping factor of the norm of that mean, which is norm/n), then zero_grad.
//
// Bound by memory: 28 bytes a weight in f32. All tensors are cut into chunks that one parallel loop walks; on a GPU, one launch.
#pragma once

#include <cmath>

#include <framegrad/cpu/dispatch.hpp>
#include <framegrad/cpu/simd.hpp>
#include <framegrad/cuda/adamw.hpp>
#include <framegrad/nn/named_tensors.hpp>
#include <framegrad/optim/chunks.hpp>

namespace fg::inline FRAMEGRAD_ABI {

namespace cpu {

template <class A>
struct AdamWFactors {
  A scale;                 // s
  A keep;                  // 1 − η·λ
  A beta1, rest1;          // β₁, 1 − β₁
  A beta2, rest2;
  A rate;                  // η / (1 − β₁ᵏ)
  A correction2;           // 1 / (1 − β₂ᵏ)
  A eps;
};

struct AdamWStep {
  /// w: master [n] (the weight itself if T is A); low: the weight [n], written if T isn't A.
  template <int B, class A, class T>
  FRAMEGRAD_INLINE static void run(Index n, const AdamWFactors<A>& f, const A* g, A* m, A* v, A* w, T* low) {
    using V = Vec<A, B>;
    const V scale(f.scale), keep(f.keep), beta1(f.beta1), rest1(f.rest1), beta2(f.beta2), rest2(f.rest2), rate(f.rate),
        correction2(f.correction2), eps(f.eps);
    each<V>(n, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA {
      const V gl = l.load(g) * scale;
      const V ml = l.load(m) * beta1 + gl * rest1;
      const V vl = l.load(v) * beta2 + gl * gl * rest2;
      const V wl = l.load(w) * keep - rate * ml / (sqrt(vl * correction2) + eps);
      l.store(m, ml), l.store(v, vl), l.store(w, wl);
      if constexpr (!std::is_same_v<A, T>) l.store(low, wl);
    });
  }
};

}  // namespace cpu

/// Settings for the tensors that `contains` says yes to.
struct ParamGroup {
  NamePredicate contains = {};
  double lr_multiplier = 1;
  double weight_decay = 0;
};

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;                // added to √v
  double weight_decay = 0;          // λ of tensors in no group
  std::vector<ParamGroup> groups = {};  // the first that contains a name has it
};

class AdamW {
 public:
  /// Over the tensors of `params` that are trainable now. Masters are taken from the weights at the first step.
  explicit AdamW(const Params& params, AdamWOptions options = {}) : options_(std::move(options)) {
    const auto within = [](double b) { return b >= 0 && b < 1; };
    check<ConfigError>(within(options_.beta1) && within(options_.beta2), "AdamW", "beta1 ", options_.beta1, ", beta2 ", options_.beta2, ": each must be in [0, 1)");
    check<ConfigError>(options_.eps >= 0 && options_.weight_decay >= 0, "AdamW", "eps ", options_.eps, ", weight_decay ", options_.weight_decay, ": none may be negative");
    std::vector<Index> counts;
    for (const auto& slot : params.trainable()) {
      Entry e;
      e.slot = slot;
      e.weight_decay = options_.weight_decay;
      for (const auto& g : options_.groups)
        if (g.contains(slot->name)) {
          e.lr_multiplier = g.lr_multiplier, e.weight_decay = g.weight_decay;
          break;
        }
      const AnyTensor& w = slot->value;
      const Dtype held = w.dtype() == Dtype::f64 ? Dtype::f64 : Dtype::f32;
      const auto zeros = [&] {
        AnyTensor t = AnyTensor::empty(held, w.sizes(), w.strides(), w.device());
        fill_zero(t);
        return t;
      };
      e.m = zeros(), e.v = zeros();
      if (held != w.dtype()) e.master = zeros();
      counts.push_back(w.count());
      by_slot_.emplace(slot.get(), entries_.size());
      entries_.push_back(std::move(e));
    }
    chunks_ = cut_into_chunks(counts, kChunk);
  }

  /// One step with learning rate `lr`; every gradient is taken times `scale`. Throws ConfigError if a weight changed its shape or type, DeviceError
  /// unless all are where they were when the optimizer was made, on one device.
  void step(double lr, double scale = 1) {
    take_masters();
    std::vector<Work> work(entries_.size());
    const Device device = common_device();
    for (std::size_t i = 0; i < entries_.size(); ++i) work[i] = prepare(entries_[i], lr, scale);
    if (device.kind == Device::Kind::cuda) step_on(device, work);
    else for_chunks(chunks_, 0.5, [&](const Chunk& chunk) {
      const Work& at = work[std::size_t(chunk.tensor)];
      const Entry& e = entries_[std::size_t(chunk.tensor)];
      if (!at.grad.defined() || at.grad.is_meta()) return;
      switch (e.slot->value.dtype()) {
        case Dtype::f64: return run_chunk<double>(chunk, e, at);
        case Dtype::bf16: return run_chunk<bf16>(chunk, e, at);
        case Dtype::f16: return run_chunk<half>(chunk, e, at);
        default: return run_chunk<float>(chunk, e, at);
      }
    });
    for (std::size_t i = 0; i < entries_.size(); ++i)
      if (work[i].grad.defined()) entries_[i].slot->value.touch();
  }

  /// The weight at full precision: the f32 master of a bf16 or half tensor, the tensor itself otherwise.
  AnyTensor weight(const Slot& slot) const {
    const auto it = by_slot_.find(&slot);
    return it != by_slot_.end() && masters_taken_ && entries_[it->second].master.defined() ? entries_[it->second].master : slot.value.detach();
  }

  /// To be called when weights were replaced from outside after the first step: masters begin again from them.
  void forget_masters() { masters_taken_ = false; }

  /// Everything that a resumed run needs, under "m.<name>", "v.<name>", "master.<name>" and "steps.<name>" (int64, rank 0).
  NamedTensors state() {
    take_masters();
    NamedTensors s;
    for (auto& e : entries_) {
      s.push_back({"m." + e.slot->name, e.m});
      s.push_back({"v." + e.slot->name, e.v});
      if (e.master.defined()) s.push_back({"master." + e.slot->name, e.master});
      s.push_back({"steps." + e.slot->name, scalar<std::int64_t>(e.steps)});
    }
    return s;
  }
  /// Continues bit for bit from what state() gave. Throws FileError "origin: …" with all that doesn't fit.
  void load(const NamedTensors& saved, std::string_view origin = "AdamW") {
    const NamedTensors mine = state();
    restore(mine, saved, origin, {.convert = false});
    std::unordered_map<std::string_view, Index> steps;
    for (const auto& [name, t] : mine)
      if (name.starts_with("steps.")) steps.emplace(std::string_view(name).substr(6), *static_cast<const std::int64_t*>(t.raw()));
    for (auto& e : entries_) e.steps = steps.at(e.slot->name);
  }

 private:
  static constexpr Index kChunk = 16384;  // five streams of 64 KiB: many chunks even in a small model, few bits of overhead

  struct Entry {
    std::shared_ptr<Slot> slot;
    AnyTensor m, v, master;  // in the memory order of the weight; no master for f32 and f64
    double lr_multiplier = 1, weight_decay = 0;
    Index steps = 0;
  };
  struct Work {
    AnyTensor grad;  // undefined: nothing to do
    cpu::AdamWFactors<double> factors{};
  };

  /// Where all weights and what belongs to them are.
  Device common_device() const {
    const Device device = entries_.empty() ? kCpu : entries_.front().m.device();
    for (const Entry& e : entries_) {
      const Device w = e.slot->value.device();
      check<DeviceError>(e.m.device() == device, "AdamW", e.slot->name, " was made on ", e.m.device(), ", ", entries_.front().slot->name, " on ", device, ": one device is needed");
      check<DeviceError>(w == device, "AdamW", e.slot->name, " is on ", w, ", its moments on ", device, ": make the optimizer where the weights are");
      const AnyTensor& g = grad(e.slot->value);
      check<DeviceError>(!g.defined() || g.device() == device, "AdamW", "the gradient of ", e.slot->name, " is on ", g.device(), ", the weight on ", device);
    }
    return device;
  }

  /// All tensors' step in one launch. Without kernels no tensor is on a GPU.
  void step_on([[maybe_unused]] Device device, [[maybe_unused]] const std::vector<Work>& work) const {
    if constexpr (kWithCuda) {
      std::vector<cuda::AdamWTensor> table;
      for (std::size_t i = 0; i < entries_.size(); ++i) {
        const Entry& e = entries_[i];
        if (!work[i].grad.defined()) continue;
        const AnyTensor& w = e.slot->value;
        if (w.dtype() == Dtype::f64) throw MissingKernel(text("AdamW: ", e.slot->name, " is double on ", device, ": there float, bf16 and half are trained"));
        const auto numbers = [](const AnyTensor& t) { return static_cast<float*>(t.raw()); };
        const auto& f = work[i].factors;
        const bool low = e.master.defined();
        table.push_back({{.count = w.count(), .low_dtype = w.dtype()}, numbers(work[i].grad), numbers(e.m), numbers(e.v), numbers(low ? e.master : w), low ? w.raw() : nullptr,
                         float(f.scale), float(f.keep), float(f.beta1), float(f.rest1), float(f.beta2), float(f.rest2), float(f.rate), float(f.correction2), float(f.eps)});
      }
      const cuda::DeviceScope scope(device.index);
      cuda::adamw_step(table);
    }
  }

  void take_masters() {
    if (masters_taken_) return;
    for (auto& e : entries_)
      if (e.master.defined()) copy_into(e.master, e.slot->value);
    masters_taken_ = true;
  }

  Work prepare(Entry& e, double lr, double scale) const {
    const AnyTensor& w = e.slot->value;
    if (!e.slot->trainable() || !grad(w).defined()) return {};
    check<ConfigError>(w.sizes() == e.m.sizes() && (w.dtype() == e.m.dtype()) != e.master.defined(), "AdamW", e.slot->name, " is now ", w.dtype(), " ", w.sizes(),
                       ", the optimizer was made for ", e.m.sizes(), e.master.defined() ? " in 16 bits" : " without a master");
    Work work{grad(w), {}};
    if (!(w.strides() == e.m.strides())) throw ConfigError(text("AdamW: ", e.slot->name, " has strides ", w.strides(), ", the optimizer was made for ", e.m.strides()));
    if (!(work.grad.strides() == e.m.strides())) {
      AnyTensor copy = AnyTensor::empty(e.m.dtype(), w.sizes(), w.strides(), w.device());
      copy_into(copy, work.grad);
      work.grad = copy;
    }
    const double k = double(++e.steps), rate = lr * e.lr_multiplier, b1 = options_.beta1, b2 = options_.beta2;
    work.factors = {scale, 1 - rate * e.weight_decay, b1, 1 - b1, b2, 1 - b2, rate / (1 - std::pow(b1, k)), 1 / (1 - std::pow(b2, k)), options_.eps};
    return work;
  }

  template <class T>
  static void run_chunk(const Chunk& chunk, const Entry& e, const Work& work) {
    using A = accum_t<T>;
    const auto& f = work.factors;
    const cpu::AdamWFactors<A> factors{A(f.scale), A(f.keep), A(f.beta1), A(f.rest1), A(f.beta2), A(f.rest2), A(f.rate), A(f.correction2), A(f.eps)};
    const auto at = [&](const AnyTensor& t) { return static_cast<A*>(t.raw()) + chunk.begin; };
    T* low = static_cast<T*>(e.slot->value.raw()) + chunk.begin;
    A* w;
    if constexpr (std::is_same_v<A, T>) w = low;
    else w = at(e.master);
    cpu::dispatch<cpu::AdamWStep>(chunk.count, factors, static_cast<const A*>(at(work.grad)), at(e.m), at(e.v), w, low);
  }

  AdamWOptions options_;
  std::vector<Entry> entries_;
  std::vector<Chunk> chunks_;
  std::unordered_map<const Slot*, std::size_t> by_slot_;
  bool masters_taken_ = false;
};

}  // namespace fg::inline FRAMEGRAD_ABI
