// What stands for cuBLASLt where the kernels run on the CPU: the engine's own product. An activation is a pass over its sums, as on a GPU.
#include <cuda/scratch.cuh>
#include <cuda/simt/record.hpp>
#include <framegrad/cpu/gemm.hpp>
#include <framegrad/cuda/gemm.hpp>

namespace fg::inline FRAMEGRAD_ABI::cuda {

void allow_tf32(bool) {}
bool tf32_allowed() { return false; }

template <class T>
void GemmKernels<T>::multiply(const GemmSizes& s, const GemmOperand<T>& a, const GemmOperand<T>& b, T* c, Index ldc, Index c_batch, const GemmOptions<T>& o) {
  check<DeviceError>(gemm_takes(s.m, s.k, a.row, a.column) && gemm_takes(s.k, s.n, b.row, b.column), "gemm", "an operand has steps ", a.row, " and ", a.column, ", the other ",
                     b.row, " and ", b.column, ": one must be 1");
  if (s.m == 0 || s.n == 0) return;
  if (o.activation == Activation::none && !o.pre_activation) {
    cpu::GemmOptions<T> plain;
    plain.alpha = o.alpha, plain.accumulate = o.accumulate, plain.bias = o.bias;
    return simt::queue([=] { cpu::gemm_batched<T, T>(s.batch, s.m, s.n, s.k, a.data, a.batch, a.row, a.column, b.data, b.batch, b.row, b.column, c, c_batch, ldc, plain); });
  }
  const Scratch memory(s.m * s.n * Index(sizeof(float)));
  float* const sums = memory.as<float>();
  cpu::GemmOptions<float> plain;
  plain.alpha = o.alpha;
  simt::queue([=] { cpu::gemm<T, float>(s.m, s.n, s.k, a.data, a.row, a.column, b.data, b.row, b.column, sums, s.n, plain); });
  EpilogueKernels<T>::value(s.m, s.n, sums, o.bias, o.activation, o.pre_activation, c, ldc);
}

template struct GemmKernels<float>;
template struct GemmKernels<bf16>;
template struct GemmKernels<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
