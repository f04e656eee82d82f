// What samplers share: how they are watched, where their noise comes from, and how they read a model.
//
// A sampler knows no network. A model is anything that can be called as model(x, timestep): x [B, C, …] and timestep [B] in,
// a prediction [B, C, …] out, or [B, 2C, …] where the second half speaks of the variance. Text, masks and guidance are the callable's own.
// Samplers print nothing, record no graph, and give the same bits for the same noise.
#pragma once

#include <functional>
#include <optional>

#include <framegrad/core/random.hpp>
#include <framegrad/ops/affine.hpp>
#include <framegrad/ops/views.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// Thrown by a sampler that was asked to stop.
struct Cancelled : Error { using Error::Error; };

/// Called between steps, and `note` after the last, each if set.
template <class T, int R>
struct SamplerHooks {
  std::function<void(Index done, Index steps)> progress = {};
  std::function<bool()> cancel = {};                                          // true: the sampler throws Cancelled
  std::function<void(Index done, const Tensor<T, R>& x0)> preview = {};       // the model's guess of the result, as of this step
  std::function<void(const std::string&)> note = {};                          // what a person may want to know, e.g. why it is slower than it could be

  void before_step(std::string_view name, Index done, Index steps) const {
    if (cancel && cancel()) throw Cancelled(text(name, ": stopped after ", done, " of ", steps, " steps"));
  }
  void after_step(Index done, Index steps, const Tensor<T, R>& x0) const {
    if (preview) preview(done, x0);
    if (progress) progress(done, steps);
  }
};

/// Gives standard normal noise of x's sizes, other at each call.
template <class T, int R>
using NoiseSource = std::function<Tensor<T, R>(const Tensor<T, R>& x)>;

/// Noise of a generator, which must outlive the source. `copies`: it is drawn for a batch so many times as large, of which the first
/// part is used. With 2 a sampler under guidance spends as many numbers as one that carries both halves along, as Open-Sora's does.
inline auto noise_from(Generator& generator, Index copies = 1) {
  return [&generator, copies]<class T, int R>(const Tensor<T, R>& x) {
    Shape sizes = x.sizes();
    sizes[0] *= copies;
    const AnyTensor all = AnyTensor::empty(dtype_of<T>, sizes);
    fill_randn(static_cast<T*>(all.raw()), all.count(), generator);
    return Tensor<T, R>(to(all.slice(0, 0, x.size(0)), x.device()));
  };
}

/// Noise given beforehand, [steps, B, C, …], used from the front. Throws ShapeError when it is used up, or of other sizes than x.
template <class T, int R>
NoiseSource<T, R - 1> noise_given(const Tensor<T, R>& all) {
  return [all, next = Index(0)](const Tensor<T, R - 1>& x) mutable {
    check_shape(next < all.size(0), "noise_given", "noise for ", all.size(0), " steps is used up");
    const auto noise = select(all, 0, next++);
    check_shape(noise.sizes() == x.sizes(), "noise_given", "noise is ", noise.sizes(), ", x needs ", x.sizes());
    return noise;
  };
}

/// A model's output in its parts.
template <class T, int R>
struct Prediction {
  Tensor<T, R> value;                         // [B, C, …]
  std::optional<Tensor<T, R>> variance = {};  // [B, C, …], if the model has it
};

/// out [B, C, …] or [B, 2C, …], x [B, C, …]. Throws ShapeError if out is neither.
template <class T, int R>
Prediction<T, R> split_prediction(const Tensor<T, R>& out, const Tensor<T, R>& x, std::string_view name) {
  static_assert(R >= 2, "a batch and a channel axis are needed");
  const Index C = x.size(1);
  Shape single = x.sizes(), twice = x.sizes();
  twice[1] = 2 * C;
  check_shape(out.sizes() == single || out.sizes() == twice, name, "the model gave ", out.sizes(), " for x ", x.sizes(), ": as many channels, or twice as many, are needed");
  if (out.size(1) == C) return {out};
  return {slice(out, 1, 0, C), slice(out, 1, C, 2 * C)};
}

/// The same timestep for each sample, [B], on the host: a model makes its features there.
inline Tensor<float, 1> timesteps(Index B, double t) { return full<float, 1>({B}, float(t)); }

}  // namespace fg::inline FRAMEGRAD_ABI
