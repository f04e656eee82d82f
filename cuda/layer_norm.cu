// layer_norm and layer_norm_modulate on a GPU.
#include "cuda/layer_norm.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {

template <class T>
void LayerNormKernels<T>::forward(const NormShape& s, float eps, const T* x, const T* gain, const T* bias, T* y, float* mean, float* rstd) {
  launch_norm_forward<true>(s, eps, x, gain, bias, y, mean, rstd);
}
template <class T>
void LayerNormKernels<T>::backward(const NormShape& s, const T* x, const T* gain, const T* g, const float* mean, const float* rstd, T* dx, T* dgain, T* dbias) {
  launch_norm_backward<true>(s, x, gain, g, mean, rstd, dx, dgain, dbias);
}

template struct LayerNormKernels<float>;
template struct LayerNormKernels<bf16>;
template struct LayerNormKernels<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
