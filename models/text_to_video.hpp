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
#include <framegrad/nn/recorded.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct TextToVideoConfig {
  StditConfig video{.channels = 3, .patch_t = 1, .patch_h = 8, .patch_w = 8, .hidden = 192, .depth = 6, .heads = 6, .mlp_ratio = 4, .caption_width = 128,
                    .caption_tokens = 16, .space_scale = 1, .time_scale = 1, .predicts_variance = false, .frames = 16, .height = 32, .width = 32};
  TextEncoderConfig text;                              // its vocabulary size follows from `words`
  std::vector<std::string> words;                      // of the vocabulary, in the order of their ids
  FlowPrediction prediction = FlowPrediction::x0;      // where a patch has more numbers than the width, v can't be held
  double shift = 8;                                    // of the times, in training and sampling: films show their content at high noise
  double latent_scale = 1;                             // latents are divided by it, to have a deviation near 1
};

/// What captions come to as tensors.
template <class Scalar>
struct TextInputs {
  Tensor<std::int64_t, 2> ids;              // [B,L], padded
  Tensor<std::int32_t, 1> lengths;          // [B]
  std::optional<Tensor<Scalar, 4>> keep;    // [B,1,1,1]: 0 where the null caption takes the caption's place, else 1
};

/// What the video network is told: captions [B,1,L,W], and how many of their rows count, [B].
template <class Scalar>
struct TextCondition {
  Tensor<Scalar, 4> caption;
  Tensor<std::int32_t, 1> lengths;
};

struct SampleOptions {
  Index steps = 24;
  double guidance_scale = 3;
  FlowSolver solver = FlowSolver::euler;
  std::uint64_t seed = 0;
  bool graphs = true;         // on a GPU: the network's launches recorded once and queued together
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

  /// Captions as tensors, on the host. Where `dropped` is set the caption is to give way to the null caption.
  TextInputs<Scalar> text_inputs(const std::vector<std::string>& captions, const std::vector<char>& dropped = {}) const {
    const auto ids = encode_words(captions);
    TextInputs<Scalar> in{ids, TextEncoder<Scalar>::lengths(ids), {}};
    if (!dropped.empty()) in.keep = per_sample<Scalar, 4>(ids.size(0), [&](Index b) { return dropped[std::size_t(b)] ? 0.0 : 1.0; });
    return in;
  }
  /// Captions, as tensors where the parameters are → what the video network is told.
  TextCondition<Scalar> condition(const TextInputs<Scalar>& in) const {
    TextCondition<Scalar> c{unsqueeze(text_(in.ids, in.lengths), 1), in.lengths};
    if (in.keep) c.caption = c.caption * *in.keep + video_.null_caption(in.ids.size(0), in.ids.size(1)) * (1 - *in.keep);
    return c;
  }
  TextCondition<Scalar> condition(const std::vector<std::string>& captions, const std::vector<char>& dropped = {}) const {
    return condition(on_device(text_inputs(captions, dropped), params_.device()));
  }

  /// Captions in the first half of the batch, the null caption with the same lengths in the second: what `guided` expects.
  TextCondition<Scalar> with_null(const TextCondition<Scalar>& c) const {
    const Index B = c.caption.size(0), L = c.caption.size(2);
    return {cat({c.caption, video_.null_caption(B, L)}, 0), Tensor<std::int32_t, 1>(twice(c.lengths))};
  }

  /// x [B,C,T,H,W], t [B] on the scale of 0…1000 → the prediction, in f32.
  Tensor<float, 5> operator()(const Tensor<float, 5>& x, const Tensor<float, 1>& t, const TextCondition<Scalar>& c) const {
    return (*this)(x, video_.conditions(x.sizes(), t), c);
  }
  /// The same where nothing is read on the host.
  Tensor<float, 5> operator()(const Tensor<float, 5>& x, StditConditions<Scalar> told, const TextCondition<Scalar>& c) const {
    told.seen.key_lengths = c.lengths;
    return video_(cast<Scalar>(x), told, c.caption);
  }
  const Stdit<Scalar>& video() const { return video_; }

  /// One latent for each prompt, [B,C,T,H,W], where the parameters are. The noise is PyTorch's for this seed, so prompts and order decide the result.
  Tensor<float, 5> sample(const std::vector<std::string>& prompts, const SampleOptions& o, const SamplerHooks<float, 5>& hooks = {}) const {
    const NoGrad off;
    const StditConfig& v = config_.video;
    Generator generator(o.seed);
    auto x = empty<float, 5>({Index(prompts.size()), v.channels, v.frames, v.height, v.width});
    fill_randn(x.data(), x.count(), generator);
    x = to(x, params_.device());
    const FlowSampling how{o.steps, config_.shift, config_.prediction, o.solver};
    const bool guides = o.guidance_scale != 1;
    const auto text = guides ? with_null(condition(prompts)) : condition(prompts);
    const auto told = video_.conditions(x.sizes(), timesteps(x.size(0), 0));
    struct In { Tensor<float, 5> x; Tensor<Scalar, 2> time; };
    struct Out { Tensor<float, 5> prediction; };
    Recorded<In, Out> network([&](const In& in) { return Out{(*this)(in.x, {in.time, told.grid_pos, told.frame_pos, {}}, text)}; }, params_, o.graphs);
    const auto predict = [&](const Tensor<float, 5>& at, const Tensor<float, 1>& t) { return network({at, video_.time_features(t)}).prediction; };

    if (guides) {
      x = flow_sample(guided(predict, o.guidance_scale, kAllChannels), x, how, hooks);
    } else {  // a copy: the prediction may be shown, and its memory is the next one's
      x = flow_sample([&](const auto& at, const auto& t) { return Tensor<float, 5>(row_major_copy(predict(at, t))); }, x, how, hooks);
    }
    if (hooks.note && !network.why_not().empty()) hooks.note(network.why_not());
    return x;
  }

 private:
  static AnyTensor twice(const Tensor<std::int32_t, 1>& lengths) {
    const Index B = lengths.size(0);
    AnyTensor both = AnyTensor::empty(Dtype::i32, Shape{2 * B}, lengths.device());
    for (Index half = 0; half < 2; ++half) copy_into(both.slice(0, half * B, (half + 1) * B), lengths);
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
