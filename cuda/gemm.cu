// Products of matrices by cuBLASLt. Row-major matrices are its column-major ones transposed: cᵀ = bᵀ·aᵀ, so that b comes first and the
// bias, which it adds to columns, is [n].
//
// A bias, ReLU and GELU (by tanh, with its input kept aside for backward) are its epilogues where it has an algorithm for them; the others are a
// pass of ours over sums in f32. Partial sums of a product that it splits are added in f32, in a fixed order.
#include <cublasLt.h>

#include <atomic>
#include <memory>
#include <vector>

#include <framegrad/cuda/gemm.hpp>

#include "cuda/scratch.cuh"

namespace fg::inline FRAMEGRAD_ABI::cuda {
namespace {

constexpr std::size_t kWorkspace = 32u << 20;  // what NVIDIA advises for Hopper

std::atomic<bool> tf32{false};

void check_blas(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) throw DeviceError(text("gemm: ", what, ": ", cublasLtGetStatusName(status)));
}

/// This thread's handle for its current device.
cublasLtHandle_t handle() {
  struct Close {
    void operator()(cublasLtContext* h) const { cublasLtDestroy(h); }
  };
  thread_local std::vector<std::unique_ptr<cublasLtContext, Close>> handles;
  const auto device = std::size_t(current_device());
  if (handles.size() <= device) handles.resize(device + 1);
  if (!handles[device]) {
    cublasLtHandle_t h = nullptr;
    check_blas(cublasLtCreate(&h), "making a handle");
    handles[device].reset(h);
  }
  return handles[device].get();
}

struct Layout {
  cublasLtMatrixLayout_t it = nullptr;
  Layout(cudaDataType type, Index rows, Index columns, Index ld, Index batch, Index apart) {
    check_blas(cublasLtMatrixLayoutCreate(&it, type, std::uint64_t(rows), std::uint64_t(columns), ld), "a matrix");
    if (batch == 1) return;
    const auto count = std::int32_t(batch);
    check_blas(cublasLtMatrixLayoutSetAttribute(it, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count), "a batch");
    check_blas(cublasLtMatrixLayoutSetAttribute(it, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &apart, sizeof apart), "a batch");
  }
  ~Layout() { cublasLtMatrixLayoutDestroy(it); }
  Layout(const Layout&) = delete;
  Layout& operator=(const Layout&) = delete;
};

struct Product {
  cublasLtMatmulDesc_t it = nullptr;
  Product(cublasComputeType_t type) { check_blas(cublasLtMatmulDescCreate(&it, type, CUDA_R_32F), "a product"); }
  ~Product() { cublasLtMatmulDescDestroy(it); }
  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;
  template <class V>
  void set(cublasLtMatmulDescAttributes_t what, const V& v) {
    check_blas(cublasLtMatmulDescSetAttribute(it, what, &v, sizeof v), "a product's property");
  }
};

struct Preference {
  cublasLtMatmulPreference_t it = nullptr;
  Preference() { check_blas(cublasLtMatmulPreferenceCreate(&it), "a preference"); }
  ~Preference() { cublasLtMatmulPreferenceDestroy(it); }
  Preference(const Preference&) = delete;
  Preference& operator=(const Preference&) = delete;
  template <class V>
  void set(cublasLtMatmulPreferenceAttributes_t what, const V& v) {
    check_blas(cublasLtMatmulPreferenceSetAttribute(it, what, &v, sizeof v), "a preference");
  }
};

template <class T> constexpr cudaDataType kType = CUDA_R_32F;
template <> constexpr cudaDataType kType<bf16> = CUDA_R_16BF;
template <> constexpr cudaDataType kType<half> = CUDA_R_16F;

/// The largest power of two, 256 at most, that divides the address.
std::uint32_t alignment(const void* p) {
  std::uint32_t a = 256;
  while (reinterpret_cast<std::uintptr_t>(p) % a) a /= 2;
  return a;
}

/// How lines of an operand lie: a row after the other, `ld` apart, or a column.
struct Lines {
  bool by_rows;
  Index ld;
};
Lines lines(Index rows, Index columns, Index row, Index column) {
  const bool by_rows = (column == 1 || columns == 1) && (row >= columns || rows == 1);
  if (by_rows) return {true, rows == 1 ? columns : row};
  return {false, columns == 1 ? rows : column};
}

/// cuBLASLt's name for bias and activation together; 0 if it has none.
template <class T>
std::uint32_t epilogue(const GemmOptions<T>& o, Index ldc) {
  const std::uint32_t bias = o.bias ? CUBLASLT_EPILOGUE_BIAS : 0;
  switch (o.activation) {
    case Activation::none: return o.pre_activation ? 0 : bias ? bias : std::uint32_t(CUBLASLT_EPILOGUE_DEFAULT);
    case Activation::relu: return o.pre_activation ? 0 : CUBLASLT_EPILOGUE_RELU | bias;
    case Activation::gelu_tanh:
      if (!o.pre_activation) return CUBLASLT_EPILOGUE_GELU | bias;
      return ldc % 8 == 0 && alignment(o.pre_activation) >= 16 ? CUBLASLT_EPILOGUE_GELU_AUX | bias : 0;
    default: return 0;
  }
}

/// The product with cuBLASLt's epilogue `what`; false if it has no algorithm for that.
template <class T, class C>
bool multiplied(std::uint32_t what, const GemmSizes& s, const GemmOperand<T>& a, const GemmOperand<T>& b, C* c, Index ldc, Index c_batch, const GemmOptions<T>& o) {
  const Lines la = lines(s.m, s.k, a.row, a.column), lb = lines(s.k, s.n, b.row, b.column);
  const auto matrix = [&](Index rows, Index columns, const Lines& l, Index apart) {
    return Layout(kType<T>, l.by_rows ? columns : rows, l.by_rows ? rows : columns, l.ld, s.batch, apart);
  };
  const Layout left = matrix(s.k, s.n, lb, b.batch), right = matrix(s.m, s.k, la, a.batch), result(kType<C>, s.n, s.m, ldc, s.batch, c_batch);

  Product p(std::is_same_v<T, float> && tf32_allowed() ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F);
  p.set(CUBLASLT_MATMUL_DESC_TRANSA, std::int32_t(lb.by_rows ? CUBLAS_OP_N : CUBLAS_OP_T));
  p.set(CUBLASLT_MATMUL_DESC_TRANSB, std::int32_t(la.by_rows ? CUBLAS_OP_N : CUBLAS_OP_T));
  p.set(CUBLASLT_MATMUL_DESC_EPILOGUE, what);
  if (what & CUBLASLT_EPILOGUE_BIAS) p.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(o.bias));
  if ((what & CUBLASLT_EPILOGUE_GELU_AUX) == CUBLASLT_EPILOGUE_GELU_AUX) {
    p.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, static_cast<void*>(o.pre_activation));
    p.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, std::int64_t(ldc));
  }

  Preference wanted;
  wanted.set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspace);
  wanted.set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  wanted.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(b.data));
  wanted.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(a.data));
  wanted.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(c));
  wanted.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(c));

  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle(), p.it, left.it, right.it, result.it, result.it, wanted.it, 1, &found, &count);
  if (status != CUBLAS_STATUS_SUCCESS && what == CUBLASLT_EPILOGUE_DEFAULT) check_blas(status, "choosing an algorithm");
  if (status != CUBLAS_STATUS_SUCCESS || count == 0) return false;

  const float beta = o.accumulate ? 1.0f : 0.0f;
  const Scratch workspace{Index(found.workspaceSize)};
  const cublasStatus_t done = cublasLtMatmul(handle(), p.it, &o.alpha, b.data, left.it, a.data, right.it, &beta, c, result.it, c, result.it, &found.algo, workspace.as<void>(),
                                             found.workspaceSize, static_cast<cudaStream_t>(current_stream()));
  check_blas(done, "multiplying");
  return true;
}

}  // namespace

void allow_tf32(bool allowed) { tf32 = allowed; }
bool tf32_allowed() { return tf32; }

template <class T>
void GemmKernels<T>::multiply(const GemmSizes& s, const GemmOperand<T>& a, const GemmOperand<T>& b, T* c, Index ldc, Index c_batch, const GemmOptions<T>& o) {
  if (s.m == 0 || s.n == 0 || s.batch == 0) return;
  if (s.k > 0) {
    if (const std::uint32_t what = epilogue(o, ldc); what && multiplied(what, s, a, b, c, ldc, c_batch, o)) return;
  } else if (o.accumulate) {
    return;
  }
  // Sums in f32 first, then our pass over them. An empty sum is zero, and still gets its epilogue.
  const Index bytes = s.batch * s.m * s.n * 4;
  const Scratch memory(bytes);
  auto* const sums = memory.as<float>();
  if (s.k == 0) fill_zero(sums, bytes);
  else if (o.accumulate || !multiplied(std::uint32_t(CUBLASLT_EPILOGUE_DEFAULT), s, a, b, sums, s.n, s.m * s.n, GemmOptions<T>{o.alpha}))
    throw DeviceError(text("gemm: cuBLASLt has no algorithm for ", s.batch, " products [", s.m, ", ", s.k, "]·[", s.k, ", ", s.n, "]"));
  for (Index i = 0; i < s.batch; ++i) EpilogueKernels<T>::value(s.m, s.n, sums + i * s.m * s.n, o.bias, o.activation, o.pre_activation, c + i * c_batch, ldc);
}

template struct GemmKernels<float>;
template struct GemmKernels<bf16>;
template struct GemmKernels<half>;

}  // namespace fg::inline FRAMEGRAD_ABI::cuda
