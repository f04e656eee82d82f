// cross_entropy — minus the log-probability of the target, averaged.
//
//   ℓ_i = ln Σ e^(x_i) − x_i[target_i]      y = Σ ℓ_i / n,  n the rows whose target is not ignore_index
//   ∂L/∂x_i = ∂L/∂y · (softmax(x_i) − onehot(target_i)) / n,  0 for an ignored row
//
// If every row is ignored the mean is NaN, as in PyTorch. On a GPU, whose memory an op doesn't wait for, a target that is no class makes it NaN too.
#pragma once

#include <framegrad/cpu/math.hpp>
#include <framegrad/cuda/cross_entropy.hpp>
#include <framegrad/op.hpp>

namespace fg::inline FRAMEGRAD_ABI::ops {

template <class T>
struct CrossEntropy {
  static constexpr std::string_view name = "cross_entropy";
  static constexpr Layout layout = Layout::row_major;
  using A = accum_t<T>;

  struct Attrs { Index ignore_index = -100; };
  struct In    { Tensor<T> logits; Tensor<std::int64_t> targets; };                         // logits [N, C]   targets [N]
  struct Out   { Tensor<A> y; };                                                            // []
  struct Saved { Tensor<T> logits; Tensor<std::int64_t> targets; Tensor<A> log_sum; };      // log_sum [N]: ln Σ e^x

  static void infer(const Attrs&, const In& in, Out& out, Saved& saved) {
    check_shape(in.logits.rank() == 2, name, "logits are ", in.logits.sizes(), ", they need [N, C]");
    check_shape(in.targets.sizes() == Shape{in.logits.size(0)}, name, "targets are ", in.targets.sizes(), ", logits need ", Shape{in.logits.size(0)});
    out = {of_shape<A>({})};
    saved = {in.logits, in.targets, of_shape<A>({in.logits.size(0)})};
  }

  struct LogSum {
    template <int B>
    FRAMEGRAD_INLINE static void run(Index C, const T* x, A* out) {
      using V = cpu::Vec<A, B>;
      using L = cpu::Lanes<V>;
      const A m = cpu::max<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { return l.load(x); });
      const V about(m);
      *out = m + std::log(cpu::sum<V>(C, [&](const L& l) FRAMEGRAD_LAMBDA { return cpu::exp(l.load(x) - about); }));
    }
  };
  struct Probabilities {
    template <int B>
    FRAMEGRAD_INLINE static void run(Index C, A scale, A log_sum, const T* x, T* dx) {
      using V = cpu::Vec<A, B>;
      const V about(log_sum), s(scale);
      cpu::each<V>(C, [&](const cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(dx, cpu::exp(l.load(x) - about) * s); });
    }
  };

  static void forward(Cpu, const Attrs& a, const In& in, Out& out, Saved* saved) {
    const Index N = in.logits.size(0), C = in.logits.size(1);
    const std::int64_t* targets = in.targets.data();
    Index counted = 0;
    for (Index i = 0; i < N; ++i) {
      if (targets[i] == a.ignore_index) continue;
      check_shape(targets[i] >= 0 && targets[i] < C, name, "target ", targets[i], " of row ", i, ", the logits have ", C, " classes");
      ++counted;
    }
    std::vector<A> own(saved ? 0 : std::size_t(N));
    A* log_sum = saved ? saved->log_sum.data() : own.data();
    parallel_for(N, double(C), [&](Range r) {
      for (Index i = r.begin; i < r.end; ++i) cpu::dispatch<LogSum>(C, static_cast<const T*>(in.logits.data() + i * C), log_sum + i);
    });
    A s = 0;
    for (Index i = 0; i < N; ++i)
      if (targets[i] != a.ignore_index) s += log_sum[i] - A(in.logits.data()[i * C + targets[i]]);
    *out.y.data() = s / A(counted);
  }
  static void backward(Cpu, const Attrs& a, const Saved& saved, const Out& g, In& d) {
    const Index N = saved.logits.size(0), C = saved.logits.size(1);
    const std::int64_t* targets = saved.targets.data();
    const auto counted = A(N - std::count(targets, targets + N, a.ignore_index));
    const A scale = *g.y.data() / counted;
    parallel_for(N, double(C), [&](Range r) {
      for (Index i = r.begin; i < r.end; ++i) {
        T* dx = d.logits.data() + i * C;
        if (targets[i] == a.ignore_index) {
          std::fill_n(dx, C, T(0));
          continue;
        }
        const T* x = saved.logits.data() + i * C;
        const A log_sum = saved.log_sum.data()[i];
        cpu::dispatch<Probabilities>(C, scale, log_sum, x, dx);
        dx[targets[i]] = T((std::exp(A(x[targets[i]]) - log_sum) - 1) * scale);
      }
    });
  }

  static void forward(Cuda, const Attrs& a, const In& in, Out& out, Saved* saved) requires OnDevice<T> {
    Tensor<A> own = of_shape<A>({in.logits.size(0)});
    if (!saved) own.allocate(in.logits.device());
    cuda::CrossEntropyKernels<T>::forward(in.logits.size(0), in.logits.size(1), a.ignore_index, in.logits.data(), in.targets.data(), saved ? saved->log_sum.data() : own.data(),
                                          out.y.data());
  }
  static void backward(Cuda, const Attrs& a, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    cuda::CrossEntropyKernels<T>::backward(saved.logits.size(0), saved.logits.size(1), a.ignore_index, saved.logits.data(), saved.targets.data(), saved.log_sum.data(), g.y.data(),
                                           d.logits.data());
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::ops

namespace fg::inline FRAMEGRAD_ABI {

/// logits [N, C], targets [N] → [], in f32 for bf16 and half. Throws ShapeError if a target on the CPU is neither in [0, C) nor ignore_index.
template <class T>
Tensor<accum_t<T>, 0> cross_entropy(const Tensor<T, 2>& logits, const Tensor<std::int64_t, 1>& targets, Index ignore_index = -100) {
  return Tensor<accum_t<T>, 0>(apply<ops::CrossEntropy<T>>({.ignore_index = ignore_index}, {logits, targets}));
}

}  // namespace fg::inline FRAMEGRAD_ABI
