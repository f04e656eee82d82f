// rms_norm on a GPU.
#include <framegrad/cuda/rms_norm.hpp>

#include "cuda/layer_norm.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

template <class T>
void RmsNormKernels<T>::forward(Index rows, Index C, float eps, const T* x, const T* gamma, T* y, float* rstd) {
  launch_norm_forward<false>({1, rows, C}, eps, x, gamma, static_cast<const T*>(nullptr), y, static_cast<float*>(nullptr), rstd);
}
template <class T>
void RmsNormKernels<T>::backward(Index rows, Index C, const T* x, const T* gamma, const T* g, const float* rstd, T* dx, T* dgamma) {
  launch_norm_backward<false>({1, rows, C}, x, gamma, g, static_cast<const float*>(nullptr), rstd, dx, dgamma, static_cast<T*>(nullptr));
}

template struct RmsNormKernels<float>;
template struct RmsNormKernels<bf16>;
template struct RmsNormKernels<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
