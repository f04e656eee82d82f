// TextToVideo — a text encoder and an STDiT trained together, and the films they make: the pipeline of the program `framegrad`.
//
//   words ──TextEncoder──▶ rows ─────┐
//                                    ▼
//   noise ──────────────▶ x_t ──▶ Stdit ──▶ x̂₀ or v ──▶ x_t′ … x₀ ──codec──▶ film
//   [B,C,T,H,W]                                                        [T,H′,W′,3]
//
// Axes: B batch, C channels, T frames, H×W cells of the latent (pixels, if the codec is none).
// Objective and sampler: rectified flow (diffusion/rectified_flow.hpp), guided by text (diffusion/guidance.hpp).
#pragma once

#include <framegrad/data/tokens.hpp>
#include <framegrad/diffusion/guidance.hpp>
#include <framegrad/diffusion/rectified_flow.hpp>
#include <framegrad/models/stdit.hpp>
#include <framegrad/models/text_encoder.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct TextToVideoConfig {
  StditConfig video{.channels = 3, .patch_t = 2, .patch_h = 4, .patch_w = 4, .hidden = 128, .depth = 6, .heads = 4, .mlp_ratio = 4, .caption_width = 128,
                    .caption_tokens = 16, .space_scale = 1, .time_scale = 1, .predicts_variance = false, .frames = 16, .height = 32, .width = 32};
  TextEncoderConfig text;                              // its vocabulary size follows from `words`
  std::vector<std::string> words;                      // of the vocabulary, in the order of their ids
  FlowPrediction prediction = FlowPrediction::x0;      // where a patch has more numbers than the width, v can't be held
  double shift = 8;                                    // of the times, in training and sampling: films show their content at high noise
  double latent_scale = 1;                             // latents are divided by it, to have a deviation near 1
};

/// What the video network is told: captions [B,1,L,W], and which rows count.
template <class Scalar>
struct TextCondition {
  Tensor<Scalar, 4> caption;
  Tensor<std::int64_t, 2> mask;
};

struct SampleOptions {
  Index steps = 24;
  double guidance_scale = 3;
  FlowSolver solver = FlowSolver::euler;
  std::uint64_t seed = 0;
};

template <class Scalar>
class TextToVideo {
 public:
  explicit TextToVideo(const TextToVideoConfig& c, Params params = Params(0))
      : config_(resolved(c)), params_(params), vocabulary_(c.words), text_(config_.text, params / "text"), video_(config_.video, params) {}

  const TextToVideoConfig& config() const { return config_; }
  const Params& params() const { return params_; }
  const Vocabulary& vocabulary() const { return vocabulary_; }

  /// Word ids [B,L], padded. Throws ConfigError for a word that the model doesn't know.
  Tensor<std::int64_t, 2> encode_words(const std::vector<std::string>& captions) const {
    const Index L = config_.text.tokens;
    auto ids = empty<std::int64_t, 2>({Index(captions.size()), L});
    for (std::size_t b = 0; b < captions.size(); ++b) {
      const auto row = vocabulary_.encode(captions[b], L);
      std::copy(row.begin(), row.end(), ids.data() + Index(b) * L);
    }
    return ids;
  }

  /// Captions → what the video network is told. Where `dropped` is set the caption gives way to the null caption.
  TextCondition<Scalar> condition(const std::vector<std::string>& captions, const std::vector<char>& dropped = {}) const {
    const auto ids = encode_words(captions);
    const Index B = ids.size(0), L = ids.size(1);
    TextCondition<Scalar> c{unsqueeze(text_(ids), 1), TextEncoder<Scalar>::token_mask(ids)};
    if (std::find(dropped.begin(), dropped.end(), 1) == dropped.end()) return c;
    const auto keep = per_sample<Scalar, 4>(B, [&](Index b) { return dropped[std::size_t(b)] ? 0.0 : 1.0; }, params_.device());
    c.caption = c.caption * keep + video_.null_caption(B, L) * (1 - keep);
    return c;
  }

  /// Captions in the first half of the batch, the null caption with the same masks in the second: what `guided` expects.
  TextCondition<Scalar> with_null(const TextCondition<Scalar>& c) const {
    const Index B = c.caption.size(0), L = c.caption.size(2);
    return {cat({c.caption, video_.null_caption(B, L)}, 0), Tensor<std::int64_t, 2>(mask_twice(c.mask))};
  }

  /// x [B,C,T,H,W], t [B] on the scale of 0…1000 → the prediction, in f32.
  Tensor<float, 5> operator()(const Tensor<float, 5>& x, const Tensor<float, 1>& t, const TextCondition<Scalar>& c) const {
    return video_(cast<Scalar>(x), t, c.caption, c.mask);
  }

  /// One latent for each prompt, [B,C,T,H,W], where the parameters are. The noise is PyTorch's for this seed, so prompts and order decide the result.
  Tensor<float, 5> sample(const std::vector<std::string>& prompts, const SampleOptions& o, const SamplerHooks<float, 5>& hooks = {}) const {
    const NoGrad off;
    const StditConfig& v = config_.video;
    Generator generator(o.seed);
    auto x = empty<float, 5>({Index(prompts.size()), v.channels, v.frames, v.height, v.width});
    fill_randn(x.data(), x.count(), generator);
    x = to(x, params_.device());
    const FlowSampling how{o.steps, config_.shift, config_.prediction, o.solver};
    const auto text = condition(prompts);
    if (o.guidance_scale == 1) return flow_sample([&](const auto& at, const auto& t) { return (*this)(at, t, text); }, x, how, hooks);
    const auto both = with_null(text);
    const auto model = guided([&](const auto& at, const auto& t) { return (*this)(at, t, both); }, o.guidance_scale, kAllChannels);
    return flow_sample(model, x, how, hooks);
  }

 private:
  static AnyTensor mask_twice(const Tensor<std::int64_t, 2>& mask) {
    const Index B = mask.size(0);
    AnyTensor both = AnyTensor::empty(Dtype::i64, Shape{2 * B, mask.size(1)});
    for (Index half = 0; half < 2; ++half) copy_into(both.slice(0, half * B, (half + 1) * B), mask);
    return both;
  }
  static TextToVideoConfig resolved(TextToVideoConfig c) {
    c.text.vocabulary = Index(c.words.size()) + 1;
    c.video.caption_width = c.text.width, c.video.caption_tokens = c.text.tokens;
    return c;
  }

  TextToVideoConfig config_;
  Params params_;
  Vocabulary vocabulary_;
  TextEncoder<Scalar> text_;
  Stdit<Scalar> video_;
};

}  // namespace fg::inline FRAMEGRAD_ABI
