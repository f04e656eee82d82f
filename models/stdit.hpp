// STDiT — the spatial-temporal diffusion transformer of Open-Sora 1.0.
//
//   latent ──patch──▶ tokens ──block × 28──▶ tokens ──head──▶ (ε, σ)
//   [B,4,T,H,W]      [B,T,S,D]              [B,T,S,D]        [B,8,T,H,W]
//
//   block:  x ← x + gate·SpatialAttn(modulate(norm x))      over the S patches of each frame
//           x ← x + gate·TemporalAttn(x)                    over the T frames of each patch; raw x
//           x ← x + CrossAttn(x, text)
//           x ← x + gate·Mlp(modulate(norm x))
//
// Axes: B batch, T frames, S patches per frame, D hidden, L text tokens, H×W latent cells.
// Block and modulation: PixArt-α (arXiv:2310.00426) §2.3; DiT (arXiv:2212.09748) §3.2.
// Reference code: hpcaitech/Open-Sora, tag v1.0, opensora/models/stdit/stdit.py. Parameter names are its.
// Easy to get wrong, and so in the released model: the temporal branch reads the raw stream, shares the spatial branch's
// gate, and has the table of frame positions in block 0 alone.
// Not taken over: sequence parallelism, dropout inside blocks, packing the text across the batch.
#pragma once

#include <utility>

#include <framegrad/autograd/checkpoint.hpp>
#include <framegrad/nn/attention.hpp>
#include <framegrad/nn/embeddings.hpp>
#include <framegrad/nn/mlp.hpp>
#include <framegrad/ops/add.hpp>
#include <framegrad/ops/cast.hpp>
#include <framegrad/ops/gated_residual.hpp>
#include <framegrad/ops/layer_norm_modulate.hpp>
#include <framegrad/ops/rearrange.hpp>
#include <framegrad/ops/silu.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// Defaults: STDiT-XL/2 at 16×256×256.
struct StditConfig {
  Index channels = 4;                       // of the latent
  Index patch_t = 1, patch_h = 2, patch_w = 2;
  Index hidden = 1152, depth = 28, heads = 16, mlp_ratio = 4;
  Index caption_width = 4096, caption_tokens = 120;
  double space_scale = 0.5, time_scale = 1.0;   // a token's position is its index divided by the scale
  bool predicts_variance = true;                // the output has 2·channels, the second half for the variance
  Index frames = 16, height = 32, width = 32;   // the latent that the stored position tables are for; any other works
  bool checkpoint_blocks = false;               // forget activations inside blocks but the last, and compute them again in backward

  Index out_channels() const { return predicts_variance ? 2 * channels : channels; }
};

/// Text as a block sees it: rows [B, L, D], and which of them.
template <class Scalar>
struct StditText {
  Tensor<Scalar, 3> rows;
  AttentionOptions<Scalar> seen;
};

/// What the network is told beside x and the captions, and reads nowhere else: where it is computed on, and what a recording has as inputs.
template <class Scalar>
struct StditConditions {
  Tensor<Scalar, 2> time;                               // [B,256], features of the timestep
  Tensor<Scalar, 4> grid_pos, frame_pos;                // [1,1,S,D], [1,T,1,D]
  AttentionOptions<Scalar> seen;                        // which rows of the text
};

template <class Scalar>                                // not T: in a model file T is the number of frames
class StditBlock {
  template <int R> using Tensor = fg::Tensor<Scalar, R>;

 public:
  StditBlock(const StditConfig& c, Params p)
      : modulation_(p.tensor<Scalar, 2>("scale_shift_table", {6, c.hidden}, init::normal(1 / std::sqrt(double(c.hidden))))),
        spatial_attn_(c.hidden, c.heads, p / "attn"),
        temporal_attn_(c.hidden, c.heads, p / "attn_temp", {init::zeros(), init::zeros()}),
        cross_attn_(c.hidden, c.heads, p / "cross_attn", {init::zeros(), init::zeros()}),
        mlp_(c.hidden, c.hidden * c.mlp_ratio, c.hidden, p / "mlp") {}

  /// x [B,T,S,D], text [B,L,D], t [B,6,D] → [B,T,S,D].
  /// frame_pos [1,T,1,D] enters the temporal branch alone, and in the released model of block 0 alone.
  Tensor<4> operator()(Tensor<4> x, const StditText<Scalar>& text, const Tensor<3>& t, const Tensor<4>* frame_pos = nullptr) const {
    const auto m = rearrange<"b k d -> k b 1 1 d">(*modulation_ + t);
    const auto [shift_a, scale_a, gate_a, shift_m, scale_m, gate_m] = unbind<6>(m);          // [B,1,1,D], views

    x = gated_residual(x, gate_a, spatial_attn_(layer_norm_modulate(x, shift_a, scale_a)));  // over S, frame by frame

    auto h = frame_pos ? x + *frame_pos : x;
    h = temporal_attn_(rearrange<"b t s d -> b s t d">(std::exchange(h, {})));               // [B,S,T,D] over T: a view, no copy
    x = gated_residual(x, gate_a, rearrange<"b s t d -> b t s d">(std::exchange(h, {})));    // the same gate, as released

    h = rearrange<"b (t s) d -> b t s d">(cross_attn_(rearrange<"b t s d -> b (t s) d">(x), text.rows, text.seen), axis<"s">(x.size(2)));
    x = x + std::exchange(h, {});

    return gated_residual(x, gate_m, mlp_(layer_norm_modulate(x, shift_m, scale_m)));
  }

 private:
  Parameter<Scalar, 2> modulation_;                   // shift, scale, gate of attention, then of the MLP
  SelfAttention<Scalar> spatial_attn_, temporal_attn_;
  CrossAttention<Scalar> cross_attn_;
  Mlp<Scalar> mlp_;
};

template <class Scalar>
class Stdit {
  template <int R> using Tensor = fg::Tensor<Scalar, R>;

 public:
  Stdit(const StditConfig& c, Params p)
      : config_(c),
        patch_weight_(p.tensor<Scalar, 5>("x_embedder.proj.weight", {c.hidden, c.channels, c.patch_t, c.patch_h, c.patch_w}, init::xavier_uniform())),
        patch_bias_(p.tensor<Scalar, 1>("x_embedder.proj.bias", {c.hidden}, init::fan_in_uniform(patch_volume(c)))),
        time_in_(kTimeFeatures, c.hidden, p / "t_embedder" / "mlp" / 0, {init::normal(0.02)}),
        time_out_(c.hidden, c.hidden, p / "t_embedder" / "mlp" / 2, {init::normal(0.02)}),
        time_to_modulation_(c.hidden, 6 * c.hidden, p / "t_block" / 1, {init::normal(0.02)}),
        null_caption_(p.buffer<Scalar, 2>("y_embedder.y_embedding", {c.caption_tokens, c.caption_width}, init::normal(1 / std::sqrt(double(c.caption_width))))),
        caption_mlp_(c.caption_width, c.hidden, c.hidden, p / "y_embedder" / "y_proj", {init::normal(0.02)}),
        grid_pos_(p.buffer<Scalar, 3>("pos_embed", {1, c.height / c.patch_h * (c.width / c.patch_w), c.hidden},
                                      table([&c] { return grid_table<double>(c.height / c.patch_h, c.width / c.patch_w, c.hidden, c.space_scale); }), false)),
        frame_pos_(p.buffer<Scalar, 3>("pos_embed_temporal", {1, c.frames / c.patch_t, c.hidden},
                                       table([&c] { return sincos_table<double>(c.frames / c.patch_t, c.hidden, 1 / c.time_scale); }), false)),
        head_modulation_(p.tensor<Scalar, 2>("final_layer.scale_shift_table", {2, c.hidden}, init::normal(1 / std::sqrt(double(c.hidden))))),
        head_(c.hidden, c.patch_t * c.patch_h * c.patch_w * c.out_channels(), p / "final_layer" / "linear", {init::zeros(), init::zeros()}) {
    check<ConfigError>(c.depth > 0 && c.heads > 0 && c.hidden % c.heads == 0 && c.hidden % 4 == 0, "stdit", "hidden ", c.hidden, ", heads ", c.heads,
                       ", depth ", c.depth, ": hidden must be a multiple of heads and of 4");
    for (Index i = 0; i < c.depth; ++i) blocks_.emplace_back(c, p / "blocks" / i);
  }

  const StditConfig& config() const { return config_; }

  /// x [B,C,T,H,W], timestep [B] on the scale of 0…999, caption [B,1,L,W_text], mask [B or less,L] of 0 and 1 (none: all rows are
  /// used; a smaller batch is repeated) → [B,2C,T,H,W], in f32. Timestep and mask are read on the host; x and caption are where the parameters
  /// are. Throws ShapeError, also if a patch doesn't divide T, H or W.
  fg::Tensor<float, 5> operator()(const Tensor<5>& x, const fg::Tensor<float, 1>& timestep, const Tensor<4>& caption,
                                  const std::optional<fg::Tensor<std::int64_t, 2>>& mask = {}) const {
    auto told = conditions(x.sizes(), timestep);
    if (mask) told.seen = seen(to(*mask, kCpu), caption.size(0), caption.size(2), caption.device());
    return (*this)(x, told, caption);
  }
  /// The same where nothing is read on the host.
  fg::Tensor<float, 5> operator()(const Tensor<5>& x, const StditConditions<Scalar>& told, const Tensor<4>& caption) const {
    const StditConfig& c = config_;
    const Index B = x.size(0), rows = x.size(3) / c.patch_h;
    check_shape(told.time.size(0) == B && caption.size(0) == B && caption.size(1) == 1 && caption.size(3) == c.caption_width, "stdit", "timestep [", told.time.size(0),
                "], caption ", caption.sizes(), ": [", B, "] and [", B, ", 1, L, ", c.caption_width, "] are needed");

    auto h = patches(x) + told.grid_pos;                                        // [B,T,S,D]
    const auto [t_emb, t0] = embed_time(told.time);                             // [B,D], [B,6,D]
    const StditText<Scalar> text = embed_text(caption, told.seen);

    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      const auto pos = i == 0 ? std::optional(told.frame_pos) : std::nullopt;
      // The last block is the first that backward reaches: it would be computed again at once, and no memory spared.
      if (c.checkpoint_blocks && i + 1 < blocks_.size()) {
        // Held by value: checkpoint runs it again in backward, when this call is long over.
        const auto run = [block = blocks_[i], seen = text.seen, pos](const Tensor<4>& u, const Tensor<3>& v, const Tensor<3>& w) {
          return block(u, {w, seen}, v, pos ? &*pos : nullptr);
        };
        h = checkpoint(run, h, t0, text.rows);
      } else {
        h = blocks_[i](std::exchange(h, {}), text, t0, pos ? &*pos : nullptr);
      }
    }
    return cast<float>(head(h, t_emb, rows));
  }

  /// Of x [B,C,T,H,W] and timestep [B], where the parameters are; all rows of the text are seen. Throws ShapeError.
  StditConditions<Scalar> conditions(const Shape& x, const fg::Tensor<float, 1>& timestep) const {
    const StditConfig& c = config_;
    check_shape(x[1] == c.channels && x[2] % c.patch_t == 0 && x[3] % c.patch_h == 0 && x[4] % c.patch_w == 0, "stdit", "x is ", x, ": ", c.channels,
                " channels and multiples of the patch ", c.patch_t, "x", c.patch_h, "x", c.patch_w, " are needed");
    return {time_features(timestep), grid_positions(x[3] / c.patch_h, x[4] / c.patch_w), frame_positions(x[2] / c.patch_t), {}};
  }
  /// timestep [B] → [B,256], where the parameters are.
  Tensor<2> time_features(const fg::Tensor<float, 1>& t) const {
    const Device device = (*patch_bias_).device();
    return t.is_meta() ? empty<Scalar, 2>({t.size(0), kTimeFeatures}, kMeta) : to(timestep_features<Scalar>(to(t, kCpu), kTimeFeatures), device);
  }

  /// The caption that stands for none, for a batch: [B,1,L,W_text], a copy of the first L rows of the stored buffer.
  Tensor<4> null_caption(Index B, Index L) const {
    const auto buffer = *null_caption_;
    check_shape(L <= buffer.size(0), "null_caption", L, " tokens asked, the buffer has ", buffer.size(0));
    auto y = empty<Scalar, 4>({B, 1, L, buffer.size(1)}, buffer.device());
    for (Index b = 0; b < B; ++b) copy_into(y.AnyTensor::select(0, b).select(0, 0), buffer.AnyTensor::slice(0, 0, L).detach());
    return y;
  }

  /// x [B,C,T,H,W] → tokens before positions, [B,T,S,D].
  Tensor<4> patches(const Tensor<5>& x) const {
    const StditConfig& c = config_;
    const auto cells = rearrange<"b c (t p) (h q) (w r) -> b t (h w) (c p q r)">(x, axis<"p">(c.patch_t), axis<"q">(c.patch_h), axis<"r">(c.patch_w));
    return linear(cells, reshape<2>(*patch_weight_, {c.hidden, patch_volume(c)}), *patch_bias_);
  }

  /// Features of the timestep [B,256] → its embedding [B,D], and the modulation that all blocks share, [B,6,D].
  std::pair<Tensor<2>, Tensor<3>> embed_time(const Tensor<2>& features) const {
    const auto t_emb = time_out_(time_in_.template call<Silu>(features));
    return {t_emb, rearrange<"b (k d) -> b k d">(time_to_modulation_(silu(t_emb)), axis<"k">(6))};
  }

  std::pair<Tensor<2>, Tensor<3>> embed_time(const fg::Tensor<float, 1>& timestep) const { return embed_time(time_features(timestep)); }

  /// caption [B,1,L,W_text] → rows [B,L,D], and which of them each sample sees.
  StditText<Scalar> embed_text(const Tensor<4>& caption, const AttentionOptions<Scalar>& seen = {}) const {
    return {caption_mlp_(rearrange<"b 1 l w -> b l w">(caption)), seen};
  }

 private:
  static constexpr Index kTimeFeatures = 256;
  static Index patch_volume(const StditConfig& c) { return c.channels * c.patch_t * c.patch_h * c.patch_w; }

  template <class F>
  static Init table(F make) {
    return [make](double* values, const Shape& sizes, std::uint64_t) { std::copy_n(make().data(), sizes.count(), values); };
  }
  Tensor<4> grid_positions(Index rows, Index columns) const {                   // [1,1,S,D]
    const StditConfig& c = config_;
    const bool stored = rows == c.height / c.patch_h && columns == c.width / c.patch_w;
    const auto t = stored ? *grid_pos_ : to(unsqueeze(grid_table<Scalar>(rows, columns, c.hidden, c.space_scale), 0), (*grid_pos_).device());
    return unsqueeze(t, 1);
  }
  Tensor<4> frame_positions(Index frames) const {                               // [1,T,1,D]
    const bool stored = frames == config_.frames / config_.patch_t;
    const auto t = stored ? *frame_pos_ : to(unsqueeze(sincos_table<Scalar>(frames, config_.hidden, 1 / config_.time_scale), 0), (*frame_pos_).device());
    return unsqueeze(t, 2);
  }

  // Rows with a mask other than 0 are seen. Masks that are prefixes, as tokenizers make them, become lengths.
  static AttentionOptions<Scalar> seen(const fg::Tensor<std::int64_t, 2>& mask, Index B, Index L, Device device) {
    const auto [n, columns] = mask.shape();
    check_shape(columns == L && n > 0 && B % n == 0, "stdit", "mask is ", mask.sizes(), ", captions have ", L, " tokens and a batch of ", B);
    auto lengths = empty<std::int32_t, 1>({B});
    auto m = empty<std::uint8_t, 4>({B, 1, 1, L});
    bool prefixes = true;
    for (Index b = 0; b < B; ++b) {
      Index length = 0;
      for (Index l = 0; l < L; ++l) {
        const bool here = mask(b % n, l) != 0;
        prefixes = prefixes && (!here || length == l);
        length += here;
        m(b, 0, 0, l) = here;
      }
      lengths(b) = std::int32_t(length);
    }
    AttentionOptions<Scalar> o;
    if (prefixes) o.key_lengths = to(lengths, device);
    else o.mask = to(m, device);
    return o;
  }

  Tensor<5> head(const Tensor<4>& h, const Tensor<2>& t_emb, Index rows) const {
    const StditConfig& c = config_;
    const auto m = rearrange<"b k d -> k b 1 1 d">(*head_modulation_ + unsqueeze(t_emb, 1));
    const auto [shift, scale] = unbind<2>(m);                                   // [B,1,1,D]
    const auto y = head_(layer_norm_modulate(h, shift, scale));                 // [B,T,S,(p q r c)]: channels last, unlike the patches
    return rearrange<"b t (h w) (p q r c) -> b c (t p) (h q) (w r)">(y, axis<"h">(rows), axis<"p">(c.patch_t), axis<"q">(c.patch_h), axis<"r">(c.patch_w));
  }

  StditConfig config_;
  Parameter<Scalar, 5> patch_weight_;
  Parameter<Scalar, 1> patch_bias_;
  Linear<Scalar> time_in_, time_out_, time_to_modulation_;
  Parameter<Scalar, 2> null_caption_;
  Mlp<Scalar> caption_mlp_;
  Parameter<Scalar, 3> grid_pos_, frame_pos_;
  Parameter<Scalar, 2> head_modulation_;
  Linear<Scalar> head_;
  std::vector<StditBlock<Scalar>> blocks_;
};

}  // namespace fg::inline FRAMEGRAD_ABI
