// What a case of an op is: shapes to try it at, and how to call it.
//
//   struct LayerNormCase {
//     static constexpr std::string_view name = "layer_norm";
//     template <class T> static auto run(Tensor<T, 3> x, Tensor<T, 1> gamma, Tensor<T, 1> beta) { return layer_norm(x, gamma, beta); }
//     static inline const Cases correct = {{{1, 1, 2}, {2}, {2}}, {{3, 4, 33}, {33}, {33}}};
//   };
//
// Ranks and types of the inputs are read off run's signature. A parameter may be std::optional (absent where its shape is
// kAbsent) or, as the last one, std::vector (takes all shapes that are left); run returns a tensor, or a tuple, range or struct of them.
// A case may also have:
//
//   reject         shapes that must throw ShapeError before anything is computed
//   timed          shapes met in models, for the bench;  bytes(shapes, item_bytes), flops(shapes): what they move and compute
//   threads        shapes large enough to be split; otherwise the smallest of `timed` is taken
//   reference      the same arguments in double → the same result, computed plainly
//   input(which, i) or input(which, i, shapes)   element i of an input, where uniform(which, i) in [−1, 1) won't do
//   differentiable(which)   false for an input that has no gradient although its type could
//   ulps, backward_ulps     how much rounding error is granted (see ops.cpp)
//   rounded_terms  the greatest Σ|terms| of an output's sum whose terms have a factor that is rounded to T in between
//   terms(shapes)  K, the number of terms of the longest sum; otherwise the largest axis
//   composed       true if the op is made of others and rounds in between
//   Types          the scalar types to try; otherwise double, float, bf16, half
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <framegrad/op.hpp>

namespace fg::test {

using Shapes = std::vector<Shape>;
using Cases = std::vector<Shapes>;
using Tensors = std::vector<AnyTensor>;

inline const Shape kAbsent{-1};

/// Fixed numbers that look random: uniform in [low, high).
inline double uniform(int which, Index i, double low = -1, double high = 1) {
  std::uint64_t z = (std::uint64_t(i) + 1) * 0x9E3779B97F4A7C15u + std::uint64_t(which + 1) * 0xD1B54A32D192ED03u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return low + (high - low) * (double(z >> 11) * 0x1p-53);
}
/// Fixed integers in [0, n).
inline double integer(int which, Index i, Index n) { return double(Index(uniform(which, i, 0, double(n)))); }
/// Numbers in [−1, 1) in mixed order, no two of 509 consecutive ones closer than 1/255: for ops with a kink where values meet.
inline double distinct(int which, Index i) { return double((i * 211 + which * 97) % 509) / 254.5 - 1; }

inline Index count(const Shape& s) { return s == kAbsent ? 0 : s.count(); }

/// A case without its type: what the checks and the bench walk over.
struct OpCase {
  std::string name;
  std::vector<Dtype> types;
  std::function<Tensors(Dtype, const Tensors&)> run;
  std::function<std::vector<Dtype>(Dtype, std::size_t inputs)> dtypes;  // of the inputs, if T is the first argument
  std::function<Tensors(const Tensors&)> reference;                     // empty if there is none
  std::function<double(int, Index, const Shapes&)> input;
  std::function<bool(int)> differentiable;
  std::function<double(const Shapes&)> terms;
  std::function<double(const Shapes&, int)> bytes;
  std::function<double(const Shapes&)> flops;
  Cases correct, reject, timed, threads;
  double ulps = 4, backward_ulps = 8, rounded_terms = 0;
  bool composed = false;
};

/// The cases of the file that this program was built with (op_one.cpp).
std::vector<OpCase> cases();

namespace detail {

template <class P> struct Parameter;
template <class T, int R>
struct Parameter<Tensor<T, R>> {
  using Scalar = T;
  static constexpr bool list = false;
  static Tensor<T, R> take(const Tensors& in, std::size_t& at) { return in.at(at++).template as<T, R>(); }
};
template <class P>
struct Parameter<std::optional<P>> {
  using Scalar = typename P::Scalar;
  static constexpr bool list = false;
  static std::optional<P> take(const Tensors& in, std::size_t& at) {
    if (in.at(at).defined()) return Parameter<P>::take(in, at);
    ++at;
    return std::nullopt;
  }
};
template <class P>
struct Parameter<std::vector<P>> {
  using Scalar = typename P::Scalar;
  static constexpr bool list = true;
  static std::vector<P> take(const Tensors& in, std::size_t& at) {
    std::vector<P> all;
    while (at < in.size()) all.push_back(Parameter<P>::take(in, at));
    return all;
  }
};

template <class V>
void flatten(const V& v, Tensors& out) {
  if constexpr (std::is_base_of_v<AnyTensor, V>) {
    out.push_back(v);
  } else if constexpr (requires { std::tuple_size<V>::value; }) {
    std::apply([&](const auto&... each) { (flatten(each, out), ...); }, v);
  } else if constexpr (requires { v.begin(); v.end(); }) {
    for (const auto& each : v) flatten(each, out);
  } else {
    for_each_tensor(v, [&](const auto& each) { flatten(each, out); });
  }
}
template <class V>
Tensors flat(const V& v) {
  Tensors out;
  flatten(v, out);
  return out;
}

template <class R, class... P>
Tensors call(R (*f)(P...), const Tensors& in) {
  std::size_t at = 0;
  std::tuple<std::decay_t<P>...> arguments{Parameter<std::decay_t<P>>::take(in, at)...};  // braces: from left to right
  return flat(std::apply(f, std::move(arguments)));
}
template <class R, class... P>
std::vector<Dtype> scalars(R (*)(P...), std::size_t inputs) {
  std::vector<Dtype> all;
  (all.push_back(dtype_of<typename Parameter<std::decay_t<P>>::Scalar>), ...);
  while (all.size() < inputs) all.push_back(all.back());  // a list's shapes beyond the first
  all.resize(inputs);
  return all;
}

#if defined(__SANITIZE_ADDRESS__)  // half goes bf16's ways, which take a minute less to compile
template <class C>
struct TypesOf { using type = std::tuple<double, float, bf16>; };
#else
template <class C>
struct TypesOf { using type = std::tuple<double, float, bf16, half>; };
#endif
template <class C> requires requires { typename C::Types; }
struct TypesOf<C> { using type = typename C::Types; };

/// f(T{}) for the type of the case that `d` names.
template <class C, class F>
void with_type(Dtype d, F&& f) {
  std::apply([&](auto... t) { ((d == dtype_of<decltype(t)> ? f(t) : void()), ...); }, typename TypesOf<C>::type{});
}

}  // namespace detail

template <class C>
OpCase make_case() {
  OpCase c;
  c.name = C::name;
  c.correct = C::correct;
  std::apply([&](auto... t) { (c.types.push_back(dtype_of<decltype(t)>), ...); }, typename detail::TypesOf<C>::type{});
  c.run = [](Dtype d, const Tensors& in) {
    Tensors out;
    detail::with_type<C>(d, [&]<class T>(T) { out = detail::call(&C::template run<T>, in); });
    return out;
  };
  c.dtypes = [](Dtype d, std::size_t inputs) {
    std::vector<Dtype> all;
    detail::with_type<C>(d, [&]<class T>(T) { all = detail::scalars(&C::template run<T>, inputs); });
    return all;
  };
  c.input = [](int which, Index i, [[maybe_unused]] const Shapes& shapes) {
    if constexpr (requires { C::input(which, i, shapes); }) return double(C::input(which, i, shapes));
    else if constexpr (requires { C::input(which, i); }) return double(C::input(which, i));
    else return uniform(which, i);
  };
  c.differentiable = [](int which) {
    if constexpr (requires { C::differentiable(which); }) return bool(C::differentiable(which));
    else return which >= 0;
  };
  c.terms = [](const Shapes& shapes) {
    if constexpr (requires { C::terms(shapes); }) {
      return double(C::terms(shapes));
    } else {
      Index largest = 1;
      for (const Shape& s : shapes)
        for (const Index n : s) largest = std::max(largest, n);
      return double(largest);
    }
  };
  if constexpr (requires { &C::reference; }) c.reference = [](const Tensors& in) { return detail::call(&C::reference, in); };
  if constexpr (requires(const Shapes& s) { C::bytes(s, 4); }) c.bytes = [](const Shapes& s, int item) { return double(C::bytes(s, item)); };
  if constexpr (requires(const Shapes& s) { C::flops(s); }) c.flops = [](const Shapes& s) { return double(C::flops(s)); };
  if constexpr (requires { C::reject; }) c.reject = C::reject;
  if constexpr (requires { C::timed; }) c.timed = C::timed;
  if constexpr (requires { C::threads; }) c.threads = C::threads;
  if constexpr (requires { C::ulps; }) c.ulps = C::ulps;
  if constexpr (requires { C::backward_ulps; }) c.backward_ulps = C::backward_ulps;
  if constexpr (requires { C::rounded_terms; }) c.rounded_terms = C::rounded_terms;
  if constexpr (requires { C::composed; }) c.composed = C::composed;
  return c;
}

}  // namespace fg::test
