// The norm of all gradients together, and clipping by it (Pascanu et al. 2013, arXiv:1211.5063, algorithm 1).
//
//   norm = √(Σ g²) over every trained tensor        ratio = (norm + 1e-6) / max_norm        g ← g / ratio if ratio > 1
//
// The division is not a pass of its own: its factor goes to AdamW::step. Squares are summed in f64, in chunks of a fixed
// size that are added in order, so the norm has the same bits for any number of threads and no finite f32 gradient overflows it.
//
//   const double norm = grad_norm(params);
//   if (std::isfinite(norm)) adamw.step(lr, clip_factor(norm, 1.0));      // a NaN or infinite gradient shows in the norm
#pragma once

#include <cmath>

#include <framegrad/cpu/dispatch.hpp>
#include <framegrad/cpu/simd.hpp>
#include <framegrad/cuda/grad_norm.hpp>
#include <framegrad/nn/params.hpp>
#include <framegrad/optim/chunks.hpp>

namespace fg::inline FRAMEGRAD_ABI {

namespace cpu {
struct SumOfSquares {
  template <int B, class T>
  FRAMEGRAD_INLINE static void run(Index n, const T* x, double* total) {
    using V = Vec<double, B>;
    *total = sum<V>(n, [&](const Lanes<V>& l) FRAMEGRAD_LAMBDA {
      const V a = l.load(x);
      return a * a;
    });
  }
};
}  // namespace cpu

namespace detail {
/// The same on a GPU, where all of them are.
inline double norm_on([[maybe_unused]] Device device, [[maybe_unused]] const std::vector<AnyTensor>& grads) {
  if constexpr (kWithCuda) {
    std::vector<cuda::NormTensor> table;
    for (const AnyTensor& g : grads) {
      if (g.dtype() != Dtype::f32) throw MissingKernel(text("global_norm: a gradient is ", g.dtype(), " on ", device, ", it must be float there"));
      table.push_back({{.count = g.count()}, static_cast<const float*>(g.raw())});
    }
    const cuda::DeviceScope scope(device.index);
    return std::sqrt(cuda::sum_of_squares(table));
  }
  return 0;
}
}  // namespace detail

/// √(Σ g²) over the gradients given, each dense f32 or double, on one device. NaN or infinite if one of their elements is. Waits for a GPU.
inline double global_norm(const std::vector<AnyTensor>& grads) {
  std::vector<Index> counts;
  for (const AnyTensor& g : grads) {
    check<DeviceError>(g.device() == grads.front().device(), "global_norm", "one gradient is on ", grads.front().device(), ", another on ", g.device());
    check_dtype(g.dtype() == Dtype::f32 || g.dtype() == Dtype::f64, "global_norm", "a gradient is ", g.dtype(), ", it must be float or double");
    check_shape(g.is_dense(), "global_norm", "a gradient of sizes ", g.sizes(), " and strides ", g.strides(), " isn't dense");
    counts.push_back(g.is_meta() ? 0 : g.count());
  }
  if (!grads.empty() && grads.front().device().kind == Device::Kind::cuda) return detail::norm_on(grads.front().device(), grads);
  const auto chunks = cut_into_chunks(counts, 32768);
  std::vector<double> sums(chunks.size());
  for_chunks(chunks, 0.5, [&](const Chunk& c) {
    const AnyTensor& g = grads[std::size_t(c.tensor)];
    double* total = &sums[std::size_t(c.index)];
    if (g.dtype() == Dtype::f64) cpu::dispatch<cpu::SumOfSquares>(c.count, static_cast<const double*>(g.raw()) + c.begin, total);
    else cpu::dispatch<cpu::SumOfSquares>(c.count, static_cast<const float*>(g.raw()) + c.begin, total);
  });
  double total = 0;
  for (const double s : sums) total += s;
  return std::sqrt(total);
}

/// The norm of what backward left at the trained tensors; those without a gradient count as zero.
inline double grad_norm(const Params& params) {
  std::vector<AnyTensor> grads;
  for (const auto& s : params.trainable())
    if (const AnyTensor& g = grad(s->value); g.defined()) grads.push_back(g);
  return global_norm(grads);
}

/// What to multiply gradients with so that their norm is at most about max_norm: 1/ratio above 1, else 1. Throws ConfigError for a
/// norm that is NaN or infinite: no factor mends that, and the caller decides whether to skip the step.
inline double clip_factor(double norm, double max_norm) {
  check<ConfigError>(max_norm > 0, "clip_factor", "max_norm is ", max_norm, ", it must be positive");
  check<ConfigError>(std::isfinite(norm), "clip_factor", "the gradient's norm is ", norm);
  const double ratio = (norm + 1e-6) / max_norm;
  return ratio > 1 ? 1 / ratio : 1;
}

}  // namespace fg::inline FRAMEGRAD_ABI
