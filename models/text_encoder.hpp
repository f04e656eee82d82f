// TextEncoder — a small transformer over words, for models that are trained here from scratch together with it.
//
//   ids ──embed──▶ + position ──block × depth──▶ norm ──▶ rows
//   [B,L]          [B,L,W]                              [B,L,W]
//
//   block:  x ← x + SelfAttn(norm x)      x ← x + Mlp(norm x)        pre-norm (Xiong et al., arXiv:2002.04745)
//
// Axes: B batch, L tokens, W width. Id 0 is padding, which no token sees.
#pragma once

#include <framegrad/nn/attention.hpp>
#include <framegrad/nn/mlp.hpp>
#include <framegrad/nn/norms.hpp>
#include <framegrad/ops/add.hpp>
#include <framegrad/ops/embedding.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct TextEncoderConfig {
  Index vocabulary = 0;       // ids in use, padding included
  Index tokens = 16;          // longest text
  Index width = 128, depth = 2, heads = 4;
};

template <class Scalar>
class TextEncoder {
  template <int R> using Tensor = fg::Tensor<Scalar, R>;

  struct Block {
    Block(const TextEncoderConfig& c, Params p)
        : norm1(c.width, p / "norm1"), attn(c.width, c.heads, p / "attn"), norm2(c.width, p / "norm2"), mlp(c.width, 4 * c.width, c.width, p / "mlp") {}
    LayerNorm<Scalar> norm1;
    SelfAttention<Scalar> attn;
    LayerNorm<Scalar> norm2;
    Mlp<Scalar> mlp;
  };

 public:
  TextEncoder(const TextEncoderConfig& c, Params p)
      : config_(c),
        embed_(p.tensor<Scalar, 2>("embed.weight", {c.vocabulary, c.width}, init::normal(0.5))),
        position_(p.tensor<Scalar, 2>("position", {c.tokens, c.width}, init::normal(0.1))),
        norm_(c.width, p / "norm") {
    for (Index i = 0; i < c.depth; ++i) blocks_.emplace_back(c, p / "blocks" / i);
  }

  const TextEncoderConfig& config() const { return config_; }

  /// ids [B,L] and how many of them count, [B], where the parameters are → rows [B,L,W]; those of padding mean nothing. Throws ShapeError if L is
  /// more than the longest text.
  Tensor<3> operator()(const fg::Tensor<std::int64_t, 2>& ids, const fg::Tensor<std::int32_t, 1>& lengths) const {
    const Index L = ids.size(1);
    check_shape(L <= config_.tokens, "text_encoder", "ids is ", ids.sizes(), ", at most ", config_.tokens, " tokens are possible");
    AttentionOptions<Scalar> seen;
    seen.key_lengths = lengths;
    Tensor<3> x = embedding(*embed_, ids) + slice(*position_, 0, 0, L);
    for (const Block& b : blocks_) {
      x = x + b.attn(b.norm1(x), seen);
      x = x + b.mlp(b.norm2(x));
    }
    return norm_(x);
  }

  /// ids [B,L], padded at the end, on the host → how many tokens each text has, [B]. A text of nothing keeps one.
  static fg::Tensor<std::int32_t, 1> lengths(const fg::Tensor<std::int64_t, 2>& ids) {
    auto n = empty<std::int32_t, 1>({ids.size(0)});
    for (Index b = 0; b < ids.size(0); ++b) {
      n(b) = 1;
      for (Index l = 1; l < ids.size(1); ++l)
        if (ids(b, l) != 0) n(b) = std::int32_t(l + 1);
    }
    return n;
  }

 private:
  TextEncoderConfig config_;
  Parameter<Scalar, 2> embed_, position_;
  LayerNorm<Scalar> norm_;
  std::vector<Block> blocks_;
};

}  // namespace fg::inline FRAMEGRAD_ABI
