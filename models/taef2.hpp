// TAEF2 — a small image autoencoder, frame by frame the codec between films and latents.
//
//   film ──▶ frames ──encoder──▶ latents          latents ──decoder──▶ frames ──▶ film
//   [B,3,T,H,W]     [BT,3,H,W]  [BT,32,H/8,W/8]                        [BT,3,H,W]
//
//   block:    x ← x + conv1(relu(norm₄(conv1(x))))        in blocks with context alone: 64 → 256 → 64, four groups
//             y = relu(conv3(relu(conv3(relu(conv3(x))))) + x)
//   encoder:  conv3, block, (halve, 3 blocks) × 3, the last three with context, conv3 to 32
//   decoder:  3·tanh(z/3), conv3, relu, 3 blocks with context, (double, conv3, 3 blocks) × 2, double, conv3, block, conv3 to 3
//
// Axes: B batch, T frames, H W height and width of the film in pixels. Values of a film are in [0, 1]; a decoded one
// may leave that range a little. Halving is a conv3 of stride 2, doubling repeats each cell.
// Weights and definition: O. Boer Bohan's TAESD (madebyollin/taesd, MIT), files taef2_encoder and taef2_decoder; parameter
// names are their keys, numbers in a sequence. They come in half; computing in f32 is what the expected values are for.
#pragma once

#include <framegrad/nn/conv.hpp>
#include <framegrad/ops/affine.hpp>
#include <framegrad/ops/cat.hpp>
#include <framegrad/ops/group_norm.hpp>
#include <framegrad/ops/rearrange.hpp>
#include <framegrad/ops/relu.hpp>
#include <framegrad/ops/tanh.hpp>
#include <framegrad/ops/upsample_nearest.hpp>
#include <framegrad/ops/views.hpp>

namespace fg::inline FRAMEGRAD_ABI {

inline constexpr Index kTaef2Width = 64, kTaef2Channels = 32, kTaef2Factor = 8;

enum class Taef2Context { no, yes };

template <class Scalar>
class Taef2Block {
  template <int R> using Tensor = fg::Tensor<Scalar, R>;

  struct Context {  // x ← x + what it sees of the whole frame, through the norm's statistics
    explicit Context(Params p)
        : widen(kTaef2Width, 256, 1, p / 0, 1, Bias::no),
          gamma((p / 1).template tensor<Scalar, 1>("weight", {256}, init::ones())),
          beta((p / 1).template tensor<Scalar, 1>("bias", {256}, init::zeros())),
          narrow(256, kTaef2Width, 1, p / 3, 1, Bias::no) {}
    Tensor<4> operator()(const Tensor<4>& x) const { return narrow.call_add(x, relu(group_norm(widen(x), 4, *gamma, *beta))); }
    Conv2d<Scalar> widen;
    Parameter<Scalar, 1> gamma, beta;
    Conv2d<Scalar> narrow;
  };

 public:
  Taef2Block(Params p, Taef2Context context)
      : first_(kTaef2Width, kTaef2Width, 3, p / "conv" / 0), second_(kTaef2Width, kTaef2Width, 3, p / "conv" / 2), third_(kTaef2Width, kTaef2Width, 3, p / "conv" / 4) {
    if (context == Taef2Context::yes) context_.emplace(p / "pool");
  }

  /// x [N,64,H,W] → [N,64,H,W]
  Tensor<4> operator()(Tensor<4> x) const {
    if (context_) x = (*context_)(x);
    auto h = first_.template call<Relu>(x);  // a statement a step: within one expression each tensor would be held to its end
    h = second_.template call<Relu>(h);
    return third_.template call_add<Relu>(x, h);
  }

 private:
  std::optional<Context> context_;
  Conv2d<Scalar> first_, second_, third_;
};

namespace detail {
/// f frame by frame over [B,C,T,H,W], some frames at once: few enough that the activations of a long film fit.
template <class Scalar, class F>
Tensor<Scalar, 5> by_frames(const Tensor<Scalar, 5>& film, Index pixels_a_frame, F&& f) {
  constexpr Index kPixelsAtOnce = Index(1) << 20;  // 256 MB of 64 channels in f32
  const Index B = film.size(0), T = film.size(2), step = std::max<Index>(1, kPixelsAtOnce / std::max<Index>(1, B * pixels_a_frame));
  std::vector<Tensor<Scalar, 5>> parts;
  for (Index t = 0; t < T; t += step) {
    const auto frames = slice(film, 2, t, std::min(T, t + step));
    parts.push_back(rearrange<"(b t) c h w -> b c t h w">(f(rearrange<"b c t h w -> (b t) c h w">(frames)), axis<"b">(B)));
  }
  return parts.size() == 1 ? parts.front() : cat(parts, 2);
}
}  // namespace detail

template <class Scalar>
class Taef2Encoder {
  template <int R> using Tensor = fg::Tensor<Scalar, R>;

 public:
  explicit Taef2Encoder(Params p) : in_(3, kTaef2Width, 3, p / 0), outer_(p / 1, Taef2Context::no), out_(kTaef2Width, kTaef2Channels, 3, p / 14) {
    for (const Index at : {2, 6, 10}) {
      halve_.emplace_back(kTaef2Width, kTaef2Width, 3, p / at, 2, Bias::no);
      for (Index i = 1; i <= 3; ++i) blocks_.emplace_back(p / (at + i), at == 10 ? Taef2Context::yes : Taef2Context::no);
    }
  }

  /// Images [N,3,H,W] → latents [N,32,H/8,W/8]. Throws ShapeError unless 8 divides H and W.
  Tensor<4> operator()(const Tensor<4>& images) const {
    check_shape(images.size(1) == 3 && images.size(2) % kTaef2Factor == 0 && images.size(3) % kTaef2Factor == 0, "taef2", "images are ", images.sizes(),
                ", [N, 3, H, W] with H and W divisible by ", kTaef2Factor, " is needed");
    auto x = outer_(in_(images));                                                    // [N,64,H,W]
    for (std::size_t level = 0; level < 3; ++level) {
      x = halve_[level](x);
      for (std::size_t i = 0; i < 3; ++i) x = blocks_[3 * level + i](x);             // [N,64,H/2,W/2], …
    }
    return out_(x);                                                                  // [N,32,H/8,W/8]
  }

  /// A film [B,3,T,H,W] → latents [B,32,T,H/8,W/8]. Throws ShapeError unless 8 divides H and W.
  Tensor<5> encode(const Tensor<5>& film) const { return detail::by_frames(film, film.size(3) * film.size(4), *this); }

 private:
  Conv2d<Scalar> in_;
  Taef2Block<Scalar> outer_;
  std::vector<Conv2d<Scalar>> halve_;
  std::vector<Taef2Block<Scalar>> blocks_;
  Conv2d<Scalar> out_;
};

template <class Scalar>
class Taef2Decoder {
  template <int R> using Tensor = fg::Tensor<Scalar, R>;

 public:
  explicit Taef2Decoder(Params p) : in_(kTaef2Channels, kTaef2Width, 3, p / 1), outer_(p / 18, Taef2Context::no), out_(kTaef2Width, 3, 3, p / 19) {
    for (const Index at : {3, 8, 13}) {
      for (Index i = 0; i < 3; ++i) blocks_.emplace_back(p / (at + i), at == 3 ? Taef2Context::yes : Taef2Context::no);
      after_doubling_.emplace_back(kTaef2Width, kTaef2Width, 3, p / (at + 4), 1, Bias::no);
    }
  }

  /// Latents [N,32,h,w] → images [N,3,8h,8w]. Throws ShapeError if there are not 32 channels.
  Tensor<4> operator()(const Tensor<4>& latents) const {
    check_shape(latents.size(1) == kTaef2Channels, "taef2", "latents are ", latents.sizes(), ", [N, ", kTaef2Channels, ", h, w] is needed");
    auto x = in_.template call<Relu>(3 * tanh(latents / 3));                         // [N,64,h,w]
    for (std::size_t level = 0; level < 3; ++level) {
      for (std::size_t i = 0; i < 3; ++i) x = blocks_[3 * level + i](x);
      x = after_doubling_[level](upsample_nearest(x, 2));                            // [N,64,2h,2w], …
    }
    return out_(outer_(x));                                                          // [N,3,8h,8w]
  }

  /// Latents [B,32,T,h,w] → a film [B,3,T,8h,8w].
  Tensor<5> decode(const Tensor<5>& latents) const {
    return detail::by_frames(latents, latents.size(3) * latents.size(4) * kTaef2Factor * kTaef2Factor, *this);
  }

 private:
  Conv2d<Scalar> in_;
  std::vector<Taef2Block<Scalar>> blocks_;
  std::vector<Conv2d<Scalar>> after_doubling_;
  Taef2Block<Scalar> outer_;
  Conv2d<Scalar> out_;
};

}  // namespace fg::inline FRAMEGRAD_ABI
