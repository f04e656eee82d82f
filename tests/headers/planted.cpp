// Kernels that lose their instruction set, for disassembly.sh to find.
#include <framegrad/cpu/dispatch.hpp>
#include <framegrad/cpu/simd.hpp>

namespace planted {

using fg::Index;

/// Each number needs the one before: a scalar loop on every path.
struct Recurrence {
  template <int B>
  FRAMEGRAD_INLINE static void run(Index n, const float* x, float* y) {
    float last = 0;
    for (Index i = 0; i < n; ++i) y[i] = last = last * 0.5f + x[i];
  }
};

[[gnu::noinline]] void outside(float* x) { *x = *x * *x + 1; }

/// Vectors, and a function that isn't inlined.
struct Leaving {
  template <int B>
  FRAMEGRAD_INLINE static void run(Index n, const float* x, float* y) {
    using V = fg::cpu::Vec<float, B>;
    fg::cpu::each<V>(n, [&](const fg::cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(y, l.load(x) + V(1)); });
    for (Index i = 0; i < n; ++i) outside(y + i);
  }
};

void run(Index n, const float* x, float* y) {
  fg::cpu::dispatch<Recurrence>(n, x, y);
  fg::cpu::dispatch<Leaving>(n, x, y);
}

}  // namespace planted
