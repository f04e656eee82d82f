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
#include <framegrad/op.hpp>

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

  template <class V>
  struct Bin {  // the formulas' letters; above and below are 0 where a side is open
    V a, upper, lower, above, below, probability;
    static constexpr A kRoot = A(0.79788456080286535588), kCubic = A(0.044715), kSmallest = A(1e-12);

    FRAMEGRAD_INLINE Bin(const V& x, const V& mean, const V& log_var) {
      a = cpu::exp(log_var * V(A(-0.5)));
      upper = a * (x - mean + V(A(1) / 255)), lower = a * (x - mean - V(A(1) / 255));
      const auto first = x < V(A(-0.999)), last = x > V(A(0.999)), right = (x > mean) & !first;
      above = select(last, V(0), V(1)), below = select(first, V(0), V(1));
      // Φ(u) = 1 − Φ(−u): on the right of the mean both are taken at −u, where they are small and differ precisely.
      const V p = cdf(select(right | last, -lower, upper)), q = cdf(select(right, -upper, lower));
      probability = select(first | last, p, p - q);
    }
    FRAMEGRAD_INLINE static V steep(const V& u) { return V(2 * kRoot) * (u + V(kCubic) * u * u * u); }
    FRAMEGRAD_INLINE static V cdf(const V& u) { return V(1) / (V(1) + cpu::exp(-steep(u))); }  // ½(1 + tanh z) = 1/(1 + e^(−2z))
    FRAMEGRAD_INLINE static V density(const V& u) { return cdf(u) * cdf(-u) * V(2 * kRoot) * (V(1) + V(3 * kCubic) * u * u); }
  };

  struct Forward {
    template <int B>
    FRAMEGRAD_INLINE static void run(Range r, const T* x, const T* mean, const T* log_var, T* y) {
      using V = cpu::Vec<A, B>;
      cpu::each<V>(r.size(), [&](cpu::Lanes<V> l) FRAMEGRAD_LAMBDA {
        l.index += r.begin;
        const Bin<V> bin(l.load(x), l.load(mean), l.load(log_var));
        l.store(y, cpu::log(max(bin.probability, V(Bin<V>::kSmallest))));
      });
    }
  };
  struct Backward {  // each of dx, dmean, dlog_var may be null
    template <int B>
    FRAMEGRAD_INLINE static void run(Range r, const T* x, const T* mean, const T* log_var, const T* g, T* dx, T* dmean, T* dlog_var) {
      using V = cpu::Vec<A, B>;
      cpu::each<V>(r.size(), [&](cpu::Lanes<V> l) FRAMEGRAD_LAMBDA {
        l.index += r.begin;
        const Bin<V> bin(l.load(x), l.load(mean), l.load(log_var));
        const V p = bin.density(bin.upper) * bin.above, q = bin.density(bin.lower) * bin.below;
        const V scale = select(bin.probability > V(Bin<V>::kSmallest), l.load(g) / bin.probability, V(0));
        const V by_x = scale * bin.a * (p - q);
        if (dx) l.store(dx, by_x);
        if (dmean) l.store(dmean, -by_x);
        if (dlog_var) l.store(dlog_var, V(A(-0.5)) * scale * (p * bin.upper - q * bin.lower));
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
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// x, mean, log_var [...] → [...]. Throws ShapeError unless the shapes are equal.
template <class T, int R>
Tensor<T, R> discretised_gaussian_log_likelihood(const Tensor<T, R>& x, const Tensor<T, R>& mean, const Tensor<T, R>& log_var) {
  return Tensor<T, R>(apply<ops::DiscretisedGaussian<T>>({}, {x, mean, log_var}));
}

}  // namespace fg::inline FRAMEGRAD_ABI
