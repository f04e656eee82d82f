// matmul — products of matrices, one for each index of the leading axes, which broadcast. Transposed views cost no copy.
//
//   C = A·B     ∂L/∂A = g·Bᵀ     ∂L/∂B = Aᵀ·g     summed over the axes that were broadcast
#pragma once

#include <framegrad/cpu/gemm.hpp>
#include <framegrad/cpu/pointwise.hpp>
#include <framegrad/cuda/gemm.hpp>
#include <framegrad/cuda/reduction_of.hpp>
#include <framegrad/op.hpp>

namespace fg::inline FRAMEGRAD_ABI {
namespace ops {

template <class T>
struct Matmul {
  static constexpr std::string_view name = "matmul";
  static constexpr Layout layout = Layout::strided;

  struct Attrs {};
  struct In { Tensor<T> a, b; };   // [..., M, K]   [..., K, N]
  struct Out { Tensor<T> y; };     // [..., M, N]
  struct Saved { Tensor<T> a, b; };

  static double flops(const Attrs&, const In& in) {
    const double k = double(in.a.size(-1));
    return 2 * k * double(batch_shape(in).count()) * double(in.a.size(-2)) * double(in.b.size(-1));
  }

  static void infer(const Attrs&, const In& in, Out& out, Saved& saved) {
    check_shape(in.a.rank() >= 2 && in.b.rank() >= 2 && in.a.size(-1) == in.b.size(-2), name, "a is ", in.a.sizes(), ", b is ", in.b.sizes(),
                ": [..., M, K] and [..., K, N] are needed");
    Shape sizes = batch_shape(in);
    sizes.push_back(in.a.size(-2));
    sizes.push_back(in.b.size(-1));
    out = {of_shape<T>(sizes)};
    saved = {in.a, in.b};
  }

  static void forward(Cpu, const Attrs&, const In& in, Out& out, Saved*) { multiply(in.a, in.b, out.y); }

  static void backward(Cpu, const Attrs&, const Saved& saved, const Out& g, In& d) {
    if (d.a.defined()) multiply(g.y, Tensor<T>(saved.b.transpose(-2, -1)), d.a);
    if (d.b.defined()) multiply(Tensor<T>(saved.a.transpose(-2, -1)), g.y, d.b);
  }

  static void forward(Cuda on, const Attrs&, const In& in, Out& out, Saved*) requires OnDevice<T> { multiply(on, in.a, in.b, out.y); }
  static void backward(Cuda on, const Attrs&, const Saved& saved, const Out& g, In& d) requires OnDevice<T> {
    if (d.a.defined()) multiply(on, g.y, Tensor<T>(saved.b.transpose(-2, -1)), d.a);
    if (d.b.defined()) multiply(on, Tensor<T>(saved.a.transpose(-2, -1)), g.y, d.b);
  }

 private:
  static Shape leading(const AnyTensor& t) { return Shape(std::span<const Index>(t.sizes().begin(), std::size_t(t.rank() - 2))); }
  static Shape batch_shape(const In& in) { return broadcast_shape(leading(in.a), leading(in.b), name); }
  static Geometry leading_geometry(const AnyTensor& t) { return {leading(t), Shape(std::span<const Index>(t.strides().begin(), std::size_t(t.rank() - 2))), 0}; }

  // y ← a·b. Where y lacks leading axes that a and b have, or has size 1 there, products are summed in order.
  static void multiply(const Tensor<T>& a, const Tensor<T>& b, const Tensor<T>& y) {
    const Index M = a.size(-2), K = a.size(-1), N = b.size(-1);
    if (y.stride(-1) != 1 && N > 1 && y.stride(-2) == 1) {  // y lies transposed: yᵀ = bᵀ·aᵀ
      return multiply(Tensor<T>(b.transpose(-2, -1)), Tensor<T>(a.transpose(-2, -1)), Tensor<T>(y.transpose(-2, -1)));
    }
    if (y.stride(-1) != 1 && N > 1) {
      Tensor<T> dense = of_shape<T>(y.sizes());
      dense.allocate(kCpu);
      multiply(a, b, dense);
      return copy_into(y, dense);
    }
    const Shape batch = broadcast_shape(leading(a), leading(b), name);
    const Strides sa = cpu::broadcast_strides(leading_geometry(a), batch), sb = cpu::broadcast_strides(leading_geometry(b), batch),
                  sy = cpu::broadcast_strides(leading_geometry(y), batch);
    const bool sums = leading(y).count() < batch.count();
    const Index ldc = M > 1 ? y.stride(-2) : std::max<Index>(N, 1);
    const auto offset = [&](Index i, const Strides& s) {
      Index at = 0;
      for (int x = batch.rank() - 1; x >= 0; --x) at += i % batch[x] * s[x], i /= batch[x];
      return at;
    };
    if (batch.rank() == 1 && !sums && sa[0] != 0 && sb[0] != 0)
      return cpu::gemm_batched<T, T>(batch[0], M, N, K, a.data(), sa[0], a.stride(-2), a.stride(-1), b.data(), sb[0], b.stride(-2), b.stride(-1), y.data(), sy[0], ldc);
    const auto product = [&](Index i, bool add) {
      cpu::GemmOptions<T> o;
      o.accumulate = add;
      cpu::gemm<T, T>(M, N, K, a.data() + offset(i, sa), a.stride(-2), a.stride(-1), b.data() + offset(i, sb), b.stride(-2), b.stride(-1), y.data() + offset(i, sy), ldc, o);
    };
    const Index count = batch.count();
    if (sums) {
      if (count == 0) return copy_into(y, zeros_like(y));
      std::vector<char> begun(std::size_t(leading(y).count()), 0);  // row-major place in y's leading axes
      const Strides place = cpu::broadcast_strides({leading(y), row_major(leading(y)), 0}, batch);
      for (Index i = 0; i < count; ++i) {
        char& b_ = begun[std::size_t(offset(i, place))];
        product(i, b_);
        b_ = 1;
      }
    } else if (count < 2 * threads()) {
      for (Index i = 0; i < count; ++i) product(i, false);
    } else {
      parallel_for(count, double(M) * double(N) * double(K) / 20, [&](Range r) {
        for (Index i = r.begin; i < r.end; ++i) product(i, false);
      });
    }
  }

  static Tensor<T> described_on(Device device, const Shape& sizes) {
    Tensor<T> t = of_shape<T>(sizes);
    t.allocate(device);
    return t;
  }
  // A matrix, or a batch of them, that cuBLAS can read where it lies, else a dense copy.
  static Tensor<T> readable(const Tensor<T>& t) {
    if (cuda::gemm_takes(t.size(-2), t.size(-1), t.stride(-2), t.stride(-1))) return t;
    const Tensor<T> dense = described_on(t.device(), t.sizes());
    copy_into(dense, t.detach());
    return dense;
  }

  // The same on a GPU. Products of a batch go in one call for each run of matrices that are equally far apart; a batch of a that lies row below
  // row and meets one b is a single product, and so is one that is summed and lies column beside column.
  static void multiply(Cuda on, const Tensor<T>& a_, const Tensor<T>& b_, const Tensor<T>& y) {
    const Index M = a_.size(-2), K = a_.size(-1), N = b_.size(-1);
    if (y.count() == 0) return;
    if (y.stride(-1) != 1 && N > 1 && y.stride(-2) == 1)
      return multiply(on, Tensor<T>(b_.transpose(-2, -1)), Tensor<T>(a_.transpose(-2, -1)), Tensor<T>(y.transpose(-2, -1)));
    if ((y.stride(-1) != 1 && N > 1) || (M > 1 && y.stride(-2) < N)) {
      const Tensor<T> dense = described_on(y.device(), y.sizes());
      multiply(on, a_, b_, dense);
      return copy_into(y, dense);
    }
    const Tensor<T> a = readable(a_), b = readable(b_);
    const Shape batch = broadcast_shape(leading(a), leading(b), name);
    if (K == 0 || batch.count() == 0) return copy_into(y, zeros_like(y));
    const Strides sa = cpu::broadcast_strides(leading_geometry(a), batch), sb = cpu::broadcast_strides(leading_geometry(b), batch);
    const Strides sy = cpu::broadcast_strides(leading_geometry(y), batch);
    // Over the batch in row-major order, merged: operands' strides 0 are a, 1 are b, 2 are y.
    const auto m = cpu::merge_axes<4>({batch, row_major(batch), 0}, {sa, sb, sy});
    const int inner = m.sizes.rank() - 1;
    const Index count = m.sizes[inner], da = m.strides[1][inner], db = m.strides[2][inner], dy = m.strides[3][inner];
    const Index ldc = M > 1 ? y.stride(-2) : N;
    cuda::GemmSizes s{M, N, K};
    cuda::GemmOperand<T> left{a.data(), a.stride(-2), a.stride(-1), da}, right{b.data(), b.stride(-2), b.stride(-1), db};
    const bool sums = leading(y).count() < batch.count(), one_axis = inner == 0 && count > 1;
    if (one_axis && db == 0 && M > 1 && da == M * a.stride(-2) && dy == M * ldc && a.stride(-1) == 1) {
      s.m = M * count;
    } else if (one_axis && dy == 0 && K > 1 && da == K * a.stride(-1) && db == K * b.stride(-2)) {
      s.k = K * count;
    } else if (sums) {
      Shape sizes = batch;
      sizes.push_back(M), sizes.push_back(N);
      const Tensor<T> each = described_on(y.device(), sizes);
      multiply(on, a, b, each);
      return cuda::sum_to(static_cast<const T*>(each.data()), each.geometry(), y.data(), cpu::broadcast_strides(y.geometry(), sizes));
    } else {
      s.batch = count;
    }
    for (Index i = 0; i < batch.count() / count; ++i) {
      Index rest = i, at[3] = {0, 0, 0};
      for (int x = inner - 1; x >= 0; rest /= m.sizes[x], --x)
        for (std::size_t k = 0; k < 3; ++k) at[k] += rest % m.sizes[x] * m.strides[k + 1][x];
      left.data = a.data() + at[0], right.data = b.data() + at[1];
      cuda::GemmKernels<T>::multiply(s, left, right, y.data() + at[2], ldc, dy);
    }
  }
};

}  // namespace ops

/// a [..., M, K], b [..., K, N] → [..., M, N]; leading axes broadcast. Throws ShapeError.
template <class T, int Ra, int Rb>
Tensor<T, (Ra > Rb ? Ra : Rb)> matmul(const Tensor<T, Ra>& a, const Tensor<T, Rb>& b) {
  static_assert(Ra >= 2 && Rb >= 2, "matmul multiplies matrices: unsqueeze a vector first");
  return apply<ops::Matmul<T>>({}, {a, b});
}

}  // namespace fg::inline FRAMEGRAD_ABI
