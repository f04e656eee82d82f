// attention — softmax(q·kᵀ/√d + bias)·v by heads, without a buffer of queries × keys in either direction.
//
//   for each head   s = q·kᵀ·scale + bias     p = softmax(s)     y = p·v        Vaswani et al. 2017 (arXiv:1706.03762), eq. 1
//
// Gradient and blocks: cpu/attention.hpp. q, k, v may be slices of one tensor and permuted views: they are read where they lie,
// and their gradients are written there.
//
// Axes: up to two leading axes (A, B), N queries, M keys, heads·d the last axis.
#pragma once

#include <framegrad/cpu/attention.hpp>
#include <framegrad/cuda/attention.hpp>
#include <framegrad/op.hpp>
#include <framegrad/ops/contiguous.hpp>

namespace fg::inline FRAMEGRAD_ABI {
namespace ops {

template <class T>
struct Attention {
  static constexpr std::string_view name = "attention";
  static constexpr Layout layout = Layout::strided;
  using A = accum_t<T>;

  struct Attrs { Index heads; double scale; };  // scale 0: 1/√d
  struct In {
    Tensor<T> q, k, v;                                 // [(A, (B,)) N, heads·d]  [(A, (B,)) M, heads·d]
    std::optional<Tensor<std::int32_t>> key_lengths;   // [A]: keys from there on are not seen
    std::optional<Tensor<T>> bias;                     // [A, (B,) heads, N, M], sizes of 1 are repeated
    std::optional<Tensor<std::uint8_t>> mask;          // the same; 0: not seen
  };
  struct Out { Tensor<T> y; };                         // as q
  struct Saved {
    Tensor<T> q, k, v, y;
    std::optional<Tensor<std::int32_t>> key_lengths;
    std::optional<Tensor<T>> bias;
    std::optional<Tensor<std::uint8_t>> mask;
    Tensor<A> lse;                                     // [A, B, heads, N]: log Σ e^s
  };

  static double flops(const Attrs&, const In& in) { return 4.0 * double(in.q.count()) * double(in.k.size(-2)); }

  static void infer(const Attrs& a, const In& in, Out& out, Saved& saved) {
    const int R = in.q.rank();
    check_shape(R >= 2 && R <= 4, name, "q is ", in.q.sizes(), ": one or two leading axes, positions and features are needed");
    check_shape(in.k.sizes() == in.v.sizes(), name, "k is ", in.k.sizes(), ", v is ", in.v.sizes());
    Shape wanted = in.q.sizes();
    wanted[R - 2] = in.k.rank() >= 2 ? in.k.size(-2) : 0;
    check_shape(in.k.sizes() == wanted, name, "k is ", in.k.sizes(), ", q ", in.q.sizes(), " needs ", wanted);
    check_shape(a.heads > 0 && in.q.size(-1) % a.heads == 0, name, "q is ", in.q.sizes(), ": the last axis doesn't part in ", a.heads, " heads");
    check_shape(in.q.size(-1) / a.heads <= 512, name, "head_dim is ", in.q.size(-1) / a.heads, ", at most 512 is possible");
    for (const Tensor<T>* t : {&in.q, &in.k, &in.v}) check_shape(t->stride(-1) == 1 || t->size(-1) == 1, name, "the last axis must lie in one piece");
    if (in.key_lengths) check_shape(R >= 3 && in.key_lengths->sizes() == Shape{in.q.size(0)}, name, "key_lengths is ", in.key_lengths->sizes(), ", q is ", in.q.sizes());
    if (in.bias) check_repeats(in.bias->sizes(), in, a.heads, "bias");
    if (in.mask) check_repeats(in.mask->sizes(), in, a.heads, "mask");
    out = {like(in.q)};
    const Index sequences = in.q.size(-2) && in.q.size(-1) ? in.q.count() / in.q.size(-2) / in.q.size(-1) : 0;
    saved = {in.q, in.k, in.v, {}, in.key_lengths, in.bias, in.mask, of_shape<A>({sequences, a.heads, in.q.size(-2)})};
  }
  static void keep(const Out& out, Saved& saved) { saved.y = out.y; }

  static void forward(Cpu, const Attrs& a, const In& in, Out& out, Saved* saved) {
    cpu::attention_forward<T>(shape(a, in.q, in.k), mask(in.key_lengths, in.mask), bias(in.bias), view<const T>(in.q, a.heads), view<const T>(in.k, a.heads),
                              view<const T>(in.v, a.heads), view<T>(out.y, a.heads), saved ? saved->lse.data() : nullptr);
  }

  static void backward(Cpu, const Attrs& a, const Saved& s, const Out& g, In& d) {
    cpu::attention_backward<T>(shape(a, s.q, s.k), mask(s.key_lengths, s.mask), bias(s.bias), view<const T>(s.q, a.heads), view<const T>(s.k, a.heads),
                               view<const T>(s.v, a.heads), view<const T>(s.y, a.heads), s.lse.data(), view<const T>(g.y, a.heads), view<T>(d.q, a.heads),
                               view<T>(d.k, a.heads), view<T>(d.v, a.heads), d.bias ? d.bias->data() : nullptr);
  }

  static void forward(Cuda, const Attrs& a, const In& in, Out& out, Saved* saved) requires OnDevice<T> {
    cuda::AttentionKernels<T>::forward(inputs(a, in.q, in.k, in.v, in.key_lengths, in.bias, in.mask), rows<T>(out.y, a.heads), saved ? saved->lse.data() : nullptr);
  }
  static void backward(Cuda, const Attrs& a, const Saved& s, const Out& g, In& d) requires OnDevice<T> {
    cuda::AttentionGradients<T> to{rows<T>(d.q, a.heads), rows<T>(d.k, a.heads), rows<T>(d.v, a.heads), {}};
    if (d.bias) to.bias = plane<T>(*d.bias);
    cuda::AttentionKernels<T>::backward(inputs(a, s.q, s.k, s.v, s.key_lengths, s.bias, s.mask), rows<const T>(s.y, a.heads), s.lse.data(), rows<const T>(g.y, a.heads), to);
  }

 private:
  static void check_repeats(const Shape& sizes, const In& in, Index heads, std::string_view what) {
    Shape full(std::span<const Index>(in.q.sizes().begin(), std::size_t(in.q.rank() - 2)));
    for (const Index n : {heads, in.q.size(-2), in.k.size(-2)}) full.push_back(n);
    bool fits = sizes.rank() == full.rank();
    for (int i = 0; fits && i < full.rank(); ++i) fits = sizes[i] == full[i] || sizes[i] == 1;
    check_shape(fits, name, what, " is ", sizes, ", ", full, " is needed, or 1 where it repeats");
  }
  // Stride along leading axis i of `leading` ones: outer 0, inner 1.
  static Index leading_stride(const AnyTensor& t, int leading, int i) { return i < leading && t.sizes()[i] != 1 ? t.strides()[i] : 0; }

  static cpu::AttentionShape shape(const Attrs& a, const Tensor<T>& q, const Tensor<T>& k) {
    const Index d = q.size(-1) / a.heads;
    return {q.rank() >= 3 ? q.size(0) : 1, q.rank() >= 4 ? q.size(1) : 1, a.heads, q.size(-2), k.size(-2), d, a.scale != 0 ? a.scale : 1 / std::sqrt(double(d))};
  }
  template <class P>
  static cpu::AttentionView<P> view(const Tensor<T>& t, Index heads) {
    if (!t.defined()) return {};
    const int leading = t.rank() - 2;
    return {t.data(), leading_stride(t, leading, 0), leading_stride(t, leading, 1), t.size(-1) / heads, t.stride(-2)};
  }
  static cpu::AttentionMask mask(const std::optional<Tensor<std::int32_t>>& lengths, const std::optional<Tensor<std::uint8_t>>& m) {
    cpu::AttentionMask to;
    if (lengths) to.key_lengths = lengths->data();
    if (m) {
      to.seen = m->data();
      repeat_strides(*m, to);
    }
    return to;
  }
  static cpu::AttentionBias<const T> bias(const std::optional<Tensor<T>>& b) {
    cpu::AttentionBias<const T> to;
    if (b) {
      to.data = b->data();
      repeat_strides(*b, to);
    }
    return to;
  }
  template <class M>
  static void repeat_strides(const AnyTensor& t, M& to) {
    const auto stride = [&](int axis) { return t.size(axis) == 1 ? 0 : t.stride(axis); };
    to.outer = t.rank() > 3 ? stride(0) : 0, to.inner = t.rank() > 4 ? stride(1) : 0;
    to.head = stride(-3), to.query = stride(-2), to.key = stride(-1);
  }

  template <class P>
  static cuda::AttentionRows<P> rows(const Tensor<T>& t, Index heads) {
    const auto v = view<P>(t, heads);
    return {v.data, v.outer, v.inner, v.head, v.row};
  }
  template <class P, class S>
  static cuda::AttentionPlane<P> plane(const Tensor<S>& t) {
    cuda::AttentionPlane<P> to{t.data()};
    repeat_strides(t, to);
    return to;
  }
  static cuda::AttentionInputs<T> inputs(const Attrs& a, const Tensor<T>& q, const Tensor<T>& k, const Tensor<T>& v, const std::optional<Tensor<std::int32_t>>& lengths,
                                         const std::optional<Tensor<T>>& b, const std::optional<Tensor<std::uint8_t>>& m) {
    const auto s = shape(a, q, k);
    cuda::AttentionInputs<T> in{s.outer, s.inner, s.heads, s.queries, s.keys, s.head_dim, float(s.scale), rows<const T>(q, a.heads), rows<const T>(k, a.heads), rows<const T>(v, a.heads),
                                lengths ? lengths->data() : nullptr, {}, {}};
    if (b) in.bias = plane<const T>(*b);
    if (m) in.seen = plane<const std::uint8_t>(*m);
    return in;
  }
};

}  // namespace ops

/// What attention may be told beyond q, k and v. Shapes: ops::Attention::In.
template <class T>
struct AttentionOptions {
  double scale = 0;                                   // 0: 1/√d
  std::optional<Tensor<std::int32_t>> key_lengths{};  // [first axis]
  std::optional<Tensor<T>> bias{};                    // has a gradient
  std::optional<Tensor<std::uint8_t>> mask{};
};

/// q [..., N, heads·d], k and v [..., M, heads·d] → [..., N, heads·d]. A query that sees no key gives zeros. Throws ShapeError.
template <class T, int R>
Tensor<T, R> attention(const Tensor<T, R>& q, const Tensor<T, R>& k, const Tensor<T, R>& v, Index heads, const AttentionOptions<T>& o = {}) {
  static_assert(R >= 2 && R <= 4, "attention takes up to two leading axes: rearrange the others into them");
  const auto in_one_piece = [](const Tensor<T, R>& t) { return t.stride(-1) == 1 || t.size(-1) == 1 ? t : contiguous(t); };
  std::optional<Tensor<std::int32_t>> lengths = o.key_lengths;
  if (lengths && !lengths->is_row_major()) lengths = Tensor<std::int32_t>(row_major_copy(*lengths));
  return apply<ops::Attention<T>>({heads, o.scale}, {in_one_piece(q), in_one_piece(k), in_one_piece(v), lengths, o.bias, o.mask});
}

}  // namespace fg::inline FRAMEGRAD_ABI
