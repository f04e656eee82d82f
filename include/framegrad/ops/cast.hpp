// cast — the same values in another scalar type; the gradient is cast back.
#pragma once

#include <framegrad/op.hpp>

namespace fg::inline FRAMEGRAD_ABI {
namespace ops {

template <class From, class To>
struct Cast {
  static constexpr std::string_view name = "cast";
  static constexpr Layout layout = Layout::strided;
  struct Attrs {};
  struct In { Tensor<From> x; };
  struct Out { Tensor<To> y; };
  struct Saved {};

  static void infer(const Attrs&, const In& in, Out& out, Saved&) { out = {like<To>(static_cast<const AnyTensor&>(in.x))}; }
  static void forward(Cpu, const Attrs&, const In& in, Out& out, Saved*) { copy_into(out.y, in.x); }
  static void backward(Cpu, const Attrs&, const Saved&, const Out& g, In& d) requires is_floating<From> && is_floating<To> { copy_into(d.x, g.y); }
  static void forward(Cuda, const Attrs&, const In& in, Out& out, Saved*) { copy_into(out.y, in.x); }
  static void backward(Cuda, const Attrs&, const Saved&, const Out& g, In& d) requires is_floating<From> && is_floating<To> { copy_into(d.x, g.y); }
};

}  // namespace ops

/// x → x as To. Between floating types the gradient flows.
template <class To, class From, int R>
Tensor<To, R> cast(const Tensor<From, R>& x) {
  if constexpr (std::is_same_v<To, From>) return x;
  else return apply<ops::Cast<From, To>>({}, {x});
}

}  // namespace fg::inline FRAMEGRAD_ABI
