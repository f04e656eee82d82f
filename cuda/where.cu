// where on a GPU: see ops/where.hpp.
#include "cuda/pointwise.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

template <class T>
struct Choice {
  __device__ __forceinline__ T operator()(bool condition, T a, T b) const { return condition ? a : b; }
};
template <class T>
struct ChosenGradient {
  bool chosen;
  __device__ __forceinline__ T operator()(bool condition, T g, T) const { return condition == chosen ? g : from_float<T>(0.0f); }
};

template <class T>
void WhereKernels<T>::value(const Walk<3>& w, T* y, const bool* condition, const T* a, const T* b) {
  launch_walk(w, y, condition, a, b, Choice<T>{});
}
template <class T>
void WhereKernels<T>::slope(const Walk<2>& w, bool chosen, T* d, const bool* condition, const T* g) {
  launch_walk(w, d, condition, g, static_cast<const T*>(nullptr), ChosenGradient<T>{chosen});
}

template struct WhereKernels<float>;
template struct WhereKernels<bf16>;
template struct WhereKernels<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
