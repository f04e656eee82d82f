#pragma once

#include <framegrad/ops/conv.hpp>

#include "op_case.hpp"

namespace fg::test {

/// The definition, term by term.
template <int S>
Tensor<double, S + 2> plain_conv(const Tensor<double, S + 2>& x, const Tensor<double, S + 2>& w, const std::optional<Tensor<double, 1>>& b, const ConvOptions<S>& o) {
  std::array<Index, 3> from = volume_of(x), kernel = volume_of(w), to{1, 1, 1}, stride{1, 1, 1}, dilation{1, 1, 1}, before{0, 0, 0};
  for (std::size_t i = 0; i < std::size_t(S); ++i) {
    const std::size_t a = i + 3 - std::size_t(S);
    stride[a] = o.stride[i], dilation[a] = o.dilation[i], before[a] = o.padding[i].before;
    to[a] = (from[a] + o.padding[i].before + o.padding[i].after - dilation[a] * (kernel[a] - 1) - 1) / stride[a] + 1;
  }
  const Index N = x.size(0), C = x.size(1), O = w.size(0), Cg = w.size(1), Og = O / o.groups;
  Index sizes[S + 2] = {N, O};
  for (std::size_t i = 0; i < std::size_t(S); ++i) sizes[i + 2] = to[i + 3 - std::size_t(S)];
  auto y = zeros<double, S + 2>(sizes);
  double* out = y.data();
  for (Index n = 0; n < N; ++n)
    for (Index q = 0; q < O; ++q)
      for (Index d = 0; d < to[0]; ++d)
        for (Index h = 0; h < to[1]; ++h)
          for (Index v = 0; v < to[2]; ++v, ++out) {
            *out = b ? b->data()[q] : 0;
            for (Index c = 0; c < Cg; ++c)
              for (Index i = 0; i < kernel[0]; ++i)
                for (Index j = 0; j < kernel[1]; ++j)
                  for (Index k = 0; k < kernel[2]; ++k) {
                    const Index sd = d * stride[0] + i * dilation[0] - before[0], sh = h * stride[1] + j * dilation[1] - before[1],
                                sv = v * stride[2] + k * dilation[2] - before[2];
                    if (sd < 0 || sh < 0 || sv < 0 || sd >= from[0] || sh >= from[1] || sv >= from[2]) continue;
                    *out += x.data()[(((n * C + q / Og * Cg + c) * from[0] + sd) * from[1] + sh) * from[2] + sv] *
                            w.data()[(((q * Cg + c) * kernel[0] + i) * kernel[1] + j) * kernel[2] + k];
                  }
          }
  return y;
}

/// The longest sum: over a window, or for a weight over the positions.
inline double conv_terms(const Shapes& s) { return double(std::max(count(s[1]) / s[1][0], count(s[0]) / s[0][1])); }
inline double conv_flops(const Shapes& s) { return 2.0 * double(count(s[0]) / s[0][1]) * double(count(s[1])); }

struct Conv1dCase {
  static constexpr std::string_view name = "conv1d";
  static ConvOptions<1> options() { return {.stride = 2, .padding = Sides{3, 0}, .dilation = 2}; }
  template <class T>
  static auto run(Tensor<T, 3> x, Tensor<T, 3> w, std::optional<Tensor<T, 1>> b) { return conv1d(x, w, b, options()); }
  static Tensor<double, 3> reference(Tensor<double, 3> x, Tensor<double, 3> w, std::optional<Tensor<double, 1>> b) { return plain_conv<1>(x, w, b, options()); }

  static inline const Cases correct = {{{2, 3, 11}, {5, 3, 3}, {5}},     // causal, every other output
                                       {{1, 1, 4}, {1, 1, 1}, kAbsent}};  // one tap
  static inline const Cases threads = {{{2, 33, 4000}, {17, 33, 3}, {17}}};
  static inline const Cases reject = {{{2, 3, 11}, {5, 4, 3}, {5}},       // channels
                                      {{2, 3, 11}, {5, 3, 3}, {4}},       // bias
                                      {{2, 3, 1}, {5, 3, 4}, {5}}};       // the window does not fit
  static double terms(const Shapes& s) { return conv_terms(s); }
};

struct Conv2dCase {
  static constexpr std::string_view name = "conv2d";
  static ConvOptions<2> options() { return {.padding = 1}; }
  template <class T>
  static auto run(Tensor<T, 4> x, Tensor<T, 4> w, std::optional<Tensor<T, 1>> b) { return conv2d(x, w, b, options()); }
  static Tensor<double, 4> reference(Tensor<double, 4> x, Tensor<double, 4> w, std::optional<Tensor<double, 1>> b) { return plain_conv<2>(x, w, b, options()); }

  static inline const Cases correct = {{{2, 3, 5, 7}, {5, 3, 3, 3}, {5}},            // borders on all sides
                                       {{1, 17, 4, 4}, {35, 17, 3, 3}, kAbsent},      // outputs: two panels, the last not full
                                       {{1, 4, 3, 3}, {2, 4, 1, 1}, {2}},             // pointwise, padded
                                       {{3, 5, 3, 3}, {3, 5, 3, 3}, {3}},             // x and w of one shape
                                       {{1, 2, 15, 16}, {70, 2, 2, 3}, {70}}};        // more positions than a block
  static inline const Cases reject = {{{2, 3, 5, 7}, {5, 2, 3, 3}, {5}}, {{2, 3, 5, 7}, {5, 3, 3, 3}, {6}}, {{2, 3, 5, 7}, {5, 3, 8, 3}, {5}}};
  static inline const Cases timed = {{{1, 64, 64, 64}, {64, 64, 3, 3}, {64}},         // TAEF2, the inner blocks at 512×512 and 4 frames
                                     {{4, 320, 32, 32}, {320, 320, 3, 3}, {320}}};    // ModelScopeT2V, the outer level at 256×256
  static double terms(const Shapes& s) { return conv_terms(s); }
  static double flops(const Shapes& s) { return conv_flops(s); }
};

struct TiledConv2dCase {  // what a GPU's tiles and the sharing of work begin at
  static constexpr std::string_view name = "conv2d_tiles";
  template <class T>
  static auto run(Tensor<T, 4> x, Tensor<T, 4> w, std::optional<Tensor<T, 1>> b) { return conv2d(x, w, b, {.padding = 1}); }
  static inline const Cases correct = {{{1, 8, 9, 15}, {72, 8, 3, 3}, {72}},      // two tiles of rows, one of more than 64 outputs
                                       {{1, 64, 3, 2}, {4, 64, 3, 3}, {4}},        // depth shared by two blocks
                                       {{1, 4, 20, 30}, {4, 4, 3, 3}, kAbsent},    // positions of dw in two chunks
                                       {{2, 4, 3, 97}, {4, 4, 1, 2}, {4}},         // a plane of more than 256 cells, in two images
                                       {{1, 260, 2, 1}, {3, 260, 3, 3}, kAbsent}}; // CPU: 81 steps of pairs, 153 of numbers
  static double terms(const Shapes& s) { return conv_terms(s); }
};

struct WindowedConv2dCase {  // windows of 2x2 targets in fewer products: cpu/conv_winograd.hpp
  static constexpr std::string_view name = "conv2d_windows";
  static ConvOptions<2> options() { return {.padding = {Sides{1, 2}, Sides{0, 1}}}; }
  template <class T>
  static auto run(Tensor<T, 4> x, Tensor<T, 4> w, std::optional<Tensor<T, 1>> b) { return conv2d(x, w, b, options()); }
  static inline const Cases correct = {{{1, 16, 8, 10}, {16, 16, 3, 3}, {16}},            // the last windows jut out
                                       {{2, 32, 7, 10}, {48, 32, 3, 3}, kAbsent}};        // two cells, a sliver and a half
  static inline const Cases threads = {{{2, 48, 30, 41}, {16, 48, 3, 3}, {16}}};
  static double terms(const Shapes& s) { return conv_terms(s); }
};

struct FewConv3dCase {  // few outputs: cpu/conv_few.hpp
  static constexpr std::string_view name = "conv3d_few";
  static ConvOptions<3> options() { return {.stride = {2, 1, 1}, .padding = {Sides{1, 0}, Sides{2, 1}, Sides{0, 3}}, .dilation = {1, 1, 2}}; }
  template <class T>
  static auto run(Tensor<T, 5> x, Tensor<T, 5> w, std::optional<Tensor<T, 1>> b) { return conv3d<Relu>(x, w, b, options()); }
  static inline const Cases correct = {{{2, 16, 3, 4, 7}, {3, 16, 1, 3, 3}, {3}},            // the first plane lies beyond the border
                                       {{1, 17, 2, 19, 5}, {4, 17, 1, 2, 1}, kAbsent}};      // more lines than a band
  static inline const Cases threads = {{{1, 33, 3, 40, 33}, {3, 33, 1, 3, 3}, {3}}};
  static double terms(const Shapes& s) { return conv_terms(s); }
};

struct WindowedConv3dCase {  // planes that share transformed cells, and the first of which some taps miss
  static constexpr std::string_view name = "conv3d_windows";
  static ConvOptions<3> options() { return {.stride = {2, 1, 1}, .padding = {Sides{3, 0}, 1, 1}, .dilation = {2, 1, 1}}; }
  template <class T>
  static auto run(Tensor<T, 5> x, Tensor<T, 5> w) { return conv3d(x, w, std::nullopt, options()); }
  static inline const Cases correct = {{{1, 16, 5, 8, 8}, {16, 16, 3, 3, 3}}};
  static inline const Cases threads = {{{1, 32, 5, 20, 33}, {16, 32, 3, 3, 3}}};
  static double terms(const Shapes& s) { return conv_terms(s); }
};

struct ReluConv2dCase {
  static constexpr std::string_view name = "conv2d_relu";
  static ConvOptions<2> options() { return {.padding = 1}; }
  template <class T>
  static auto run(Tensor<T, 4> x, Tensor<T, 4> w, std::optional<Tensor<T, 1>> b) { return conv2d<Relu>(x, w, b, options()); }
  static Tensor<double, 4> reference(Tensor<double, 4> x, Tensor<double, 4> w, std::optional<Tensor<double, 1>> b) { return relu(plain_conv<2>(x, w, b, options())); }

  static inline const Cases correct = {{{2, 3, 5, 7}, {5, 3, 3, 3}, {5}},
                                       {{1, 16, 9, 8}, {16, 16, 3, 3}, kAbsent}};  // by windows
  static double terms(const Shapes& s) { return conv_terms(s); }
};

struct AddedReluConv2dCase {
  static constexpr std::string_view name = "conv2d_add_relu";
  static constexpr bool composed = kWithCuda;  // on a GPU
  template <class T>
  static auto run(Tensor<T, 4> added, Tensor<T, 4> x, Tensor<T, 4> w, std::optional<Tensor<T, 1>> b) { return conv2d_add<Relu>(added, x, w, b, {.padding = 1}); }
  static Tensor<double, 4> reference(Tensor<double, 4> added, Tensor<double, 4> x, Tensor<double, 4> w, std::optional<Tensor<double, 1>> b) {
    return relu(added + plain_conv<2>(x, w, b, {.padding = 1}));
  }

  static inline const Cases correct = {{{2, 5, 4, 6}, {2, 3, 4, 6}, {5, 3, 3, 3}, kAbsent},
                                       {{1, 16, 9, 8}, {1, 16, 9, 8}, {16, 16, 3, 3}, {16}},  // by windows; x and what is added are of one shape
                                       {{1, 4, 4, 4}, {1, 4, 4, 4}, {4, 4, 3, 3}, {4}}};      // whichever way it is read
  static inline const Cases reject = {{{1, 5, 6, 4}, {1, 3, 4, 6}, {5, 3, 3, 3}, {5}}, {{1, 1, 4, 6}, {1, 3, 4, 6}, {5, 3, 3, 3}, {5}}};
  static double terms(const Shapes& s) { return conv_terms({s[1], s[2]}); }
};

struct AddedConv2dCase {
  static constexpr std::string_view name = "conv2d_add";
  static constexpr bool composed = kWithCuda;
  static ConvOptions<2> options() { return {.stride = 2, .groups = 2}; }
  template <class T>
  static auto run(Tensor<T, 4> added, Tensor<T, 4> x, Tensor<T, 4> w) { return conv2d_add(added, x, w, std::nullopt, options()); }
  static Tensor<double, 4> reference(Tensor<double, 4> added, Tensor<double, 4> x, Tensor<double, 4> w) { return added + plain_conv<2>(x, w, std::nullopt, options()); }
  static inline const Cases correct = {{{2, 6, 2, 3}, {2, 4, 4, 7}, {6, 2, 2, 3}}};
  static double terms(const Shapes& s) { return conv_terms({s[1], s[2]}); }
};

struct PointwiseConv3dCase {  // a product of matrices
  static constexpr std::string_view name = "conv3d_pointwise";
  template <class T>
  static auto run(Tensor<T, 5> x, Tensor<T, 5> w, std::optional<Tensor<T, 1>> b) { return conv3d(x, w, b); }
  static inline const Cases correct = {{{2, 5, 2, 3, 4}, {7, 5, 1, 1, 1}, {7}}, {{1, 3, 1, 1, 1}, {3, 3, 1, 1, 1}, kAbsent}};
  static double terms(const Shapes& s) { return conv_terms(s); }
};

struct StridedConv2dCase {
  static constexpr std::string_view name = "conv2d_strided";
  static ConvOptions<2> options() { return {.stride = {2, 3}, .padding = {1, Sides{0, 2}}, .dilation = {1, 2}}; }
  template <class T>
  static auto run(Tensor<T, 4> x, Tensor<T, 4> w) { return conv2d(x, w, std::nullopt, options()); }
  static Tensor<double, 4> reference(Tensor<double, 4> x, Tensor<double, 4> w) { return plain_conv<2>(x, w, std::nullopt, options()); }

  static inline const Cases correct = {{{2, 3, 8, 9}, {4, 3, 3, 3}},    // every residue has taps
                                       {{1, 2, 7, 10}, {3, 2, 1, 1}}};  // cells that no window sees: their gradient is zero
  static inline const Cases timed = {{{1, 64, 128, 128}, {64, 64, 3, 3}}};
  static double terms(const Shapes& s) { return conv_terms(s); }
};

struct GroupedConv2dCase {
  static constexpr std::string_view name = "conv2d_grouped";
  static ConvOptions<2> options() { return {.padding = 1, .groups = 3}; }
  template <class T>
  static auto run(Tensor<T, 4> x, Tensor<T, 4> w, std::optional<Tensor<T, 1>> b) { return conv2d(x, w, b, options()); }
  static Tensor<double, 4> reference(Tensor<double, 4> x, Tensor<double, 4> w, std::optional<Tensor<double, 1>> b) { return plain_conv<2>(x, w, b, options()); }

  static inline const Cases correct = {{{1, 6, 4, 5}, {9, 2, 3, 3}, {9}}, {{2, 3, 4, 4}, {3, 1, 3, 3}, kAbsent}};  // the second is depthwise
  static inline const Cases reject = {{{1, 6, 4, 5}, {8, 2, 3, 3}, {8}}, {{1, 5, 4, 5}, {9, 2, 3, 3}, {9}}};
  static inline const Cases threads = {{{2, 48, 32, 32}, {48, 16, 3, 3}, {48}}};
  static double terms(const Shapes& s) { return conv_terms(s); }
};

struct Conv3dCase {
  static constexpr std::string_view name = "conv3d";
  static ConvOptions<3> options() { return {.padding = {Sides{2, 0}, 1, 1}}; }  // causal in time
  template <class T>
  static auto run(Tensor<T, 5> x, Tensor<T, 5> w, std::optional<Tensor<T, 1>> b) { return conv3d(x, w, b, options()); }
  static Tensor<double, 5> reference(Tensor<double, 5> x, Tensor<double, 5> w, std::optional<Tensor<double, 1>> b) { return plain_conv<3>(x, w, b, options()); }

  static inline const Cases correct = {{{1, 2, 3, 4, 5}, {3, 2, 3, 3, 3}, {3}}, {{2, 3, 2, 3, 3}, {4, 3, 1, 3, 3}, kAbsent},
                                       {{1, 4, 3, 13, 21}, {5, 4, 3, 1, 1}, {5}},          // planes that are worked on by themselves, with taps that miss the first two
                                       {{1, 33, 2, 2, 3}, {34, 33, 2, 2, 2}, kAbsent}};    // channels and outputs: one more than a cell or sliver holds
  static inline const Cases reject = {{{1, 2, 3, 4, 5}, {3, 3, 3, 3, 3}, {3}}, {{1, 2, 3, 4, 5}, {3, 2, 3, 3, 3}, {2}}};
  static inline const Cases timed = {{{1, 64, 8, 32, 32}, {64, 64, 3, 3, 3}, {64}}};
  static double terms(const Shapes& s) { return conv_terms(s); }
  static double flops(const Shapes& s) { return conv_flops(s); }
};

}  // namespace fg::test
