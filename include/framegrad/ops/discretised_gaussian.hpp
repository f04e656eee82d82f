// discretised_gaussian_log_likelihood — the log-probability of 8-bit values in [−1, 1] under a Gaussian, in nats.
//
//   a = e^(−l/2)    u± = a·(x − μ ± 1/255)    Φ(u) = ½(1 + tanh(√(2/π)·(u + 0.044715u³)))       l the log-variance
//   P = Φ(u₊)             where x < −0.999     the value's bin, which is open at both ends of the range
//       1 − Φ(u₋)         where x > 0.999
//       Φ(u₊) − Φ(u₋)     between
//   y = ln max(P, 1e-12)
//
// Ho et al. 2020 (arXiv:2006.11239), eq. 13; Φ approximated as in the released code.
//
// Gradient where P > 1e-12 (elsewhere 0), with φ = Φ′, and φ₊, φ₋ counting only where Φ(u₊), Φ(u₋) stand in P:
//   ∂y/∂x = −∂y/∂μ = a·(φ₊ − φ₋)/P       ∂y/∂l = −½·(φ₊·u₊ − φ₋·u₋)/P
#pragma once

#include <framegrad/cpu/math.hpp>
#include <framegrad/cuda/discretised_gaussian.hpp>
#include <framegrad/op.hpp>
#include <framegrad/ops/formula/discretised_gaussian.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

template <class T>
struct DiscretisedGaussian {
  static constexpr std::string_view name = "discretised_gaussian_log_likelihood";
  static constexpr Layout layout = Layout::dense;
  using A = accum_t<T>;

  struct Attrs {};
  struct In    { Tensor<T> x, mean, log_var; };  // of one shape
  struct Out   { Tensor<T> y; };
  struct Saved { Tensor<T> x, mean, log_var; };

  static void infer(const Attrs&, const In& in, Out& out, Saved& saved) {
    check_shape(in.mean.sizes() == in.x.sizes(), name, "mean is ", in.mean.sizes(), ", x ", in.x.sizes());
    check_shape(in.log_var.sizes() == in.x.sizes(), name, "log_var is ", in.log_var.sizes(), ", x ", in.x.sizes());
    out = {like(in.x)};
    saved = {in.x, in.mean, in.log_var};
  }

  struct Forward {
    template <int B>
    FRAMEGRAD_INLINE static void run(Range r, const T* x, const T* mean, const T* log_var, T* y) {
      using V = cpu::Vec<A, B>;
      cpu::each<V>(r.size(), [&](cpu::Lanes<V> l) FRAMEGRAD_LAMBDA {
        l.index += r.begin;
        const formula::GaussianBin<V> bin(l.load(x), l.load(mean), l.load(log_var));
        l.store(y, bin.value());
      });
    }
  };
  struct Backward {  // each of dx, dmean, dlog_var may be null
    template <int B>
    FRAMEGRAD_INLINE static void run(Range r, const T* x, const T* mean, const T* log_var, const T* g, T* dx, T* dmean, T* dlog_var) {
      using V = cpu::Vec<A, B>;
      cpu::each<V>(r.size(), [&](cpu::Lanes<V> l) FRAMEGRAD_LAMBDA {
        l.index += r.begin;
        const formula::GaussianBin<V> bin(l.load(x), l.load(mean), l.load(log_var));
        V by_x(0), by_log_var(0);
        bin.slopes(l.load(g), by_x, by_log_var);
        if (dx) l.store(dx, by_x);
        if (dmean) l.store(dmean, -by_x);
        if (dlog_var) l.store(dlog_var, by_log_var);
      });
    }
  };

  static void forward(Cpu, const Attrs&, const In& in, Out& out, Saved*) {
    parallel_for(in.x.count(), 3, [&](Range r) { cpu::dispatch<Forward>(r, in.x.data(), in.mean.data(), in.log_var.data(), out.y.data()); }, 64);
  }
  static void backward(Cpu, const Attrs&, const Saved& s, const Out& g, In& d) {
    const auto wanted = [](const Tensor<T>& t) { return t.defined() ? t.data() : nullptr; };
    parallel_for(s.x.count(), 5, [&](Range r) {
      cpu::dispatch<Backward>(r, s.x.data(), s.mean.data(), s.log_var.data(), g.y.data(), wanted(d.x), wanted(d.mean), wanted(d.log_var));
    }, 64);
  }

  static void forward(Cuda, const Attrs&, const In& in, Out& out, Saved*) requires OnDevice<T> {
    cuda::DiscretisedGaussianKernels<T>::forward(in.x.count(), in.x.data(), in.mean.data(), in.log_var.data(), out.y.data());
  }
  static void backward(Cuda, const Attrs&, const Saved& s, const Out& g, In& d) requires OnDevice<T> {
    const auto wanted = [](const Tensor<T>& t) { return t.defined() ? t.data() : nullptr; };
    cuda::DiscretisedGaussianKernels<T>::backward(s.x.count(), s.x.data(), s.mean.data(), s.log_var.data(), g.y.data(), wanted(d.x), wanted(d.mean), wanted(d.log_var));
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// x, mean, log_var [...] → [...]. Throws ShapeError unless the shapes are equal.
template <class T, int R>
Tensor<T, R> discretised_gaussian_log_likelihood(const Tensor<T, R>& x, const Tensor<T, R>& mean, const Tensor<T, R>& log_var) {
  return Tensor<T, R>(apply<ops::DiscretisedGaussian<T>>({}, {x, mean, log_var}));
}

}  // namespace fg::inline FRAMEGRAD_ABI
