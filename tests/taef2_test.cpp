// TAEF2 with its released weights against values computed in double with PyTorch: latents, reconstruction, loss, gradients.
#include "taef2_golden.hpp"

#include <framegrad/cpu/dispatch.hpp>
#include <framegrad/cpu/simd.hpp>

namespace fg {
namespace {

using test::Taef2Codec, test::Taef2Data, test::largest_difference;

TEST(Taef2, HasTheReleasedParameters) {
  const Params e = Params::meta(), d = Params::meta();
  const Taef2Encoder<float> encoder(e);
  const Taef2Decoder<float> decoder(d);
  EXPECT_EQ(e.parameter_count(), 1338528);
  EXPECT_EQ(d.parameter_count(), 1338499);
}

TEST(Taef2, RefusesWhatDoesNotFit) {
  const Params p = Params::meta();
  const Taef2Encoder<float> encoder(p / "encoder");
  const Taef2Decoder<float> decoder(p / "decoder");
  EXPECT_THROW(encoder(empty<float, 4>({1, 3, 12, 16}, kMeta)), ShapeError);
  EXPECT_THROW(encoder(empty<float, 4>({1, 4, 16, 16}, kMeta)), ShapeError);
  EXPECT_THROW(decoder(empty<float, 4>({1, 16, 2, 2}, kMeta)), ShapeError);
}

// A film is its frames: the same numbers, in the order of the axes of a film.
TEST(Taef2, FilmsAreCodedFrameByFrame) {
  const NoGrad off;
  const Taef2Codec<> codec;
  const auto film = empty<float, 5>({2, 3, 3, 16, 24});
  for (Index i = 0; i < film.count(); ++i) film.data()[i] = 0.5f + 0.5f * std::sin(0.37f * float(i));
  const auto latents = codec.encoder.encode(film);
  ASSERT_EQ(AnyTensor(latents).sizes(), (Shape{2, 32, 3, 2, 3}));
  const auto decoded = codec.decoder.decode(latents);
  ASSERT_EQ(AnyTensor(decoded).sizes(), (Shape{2, 3, 3, 16, 24}));
  for (Index b = 0; b < 2; ++b)
    for (Index t = 0; t < 3; ++t) {
      const auto frame = unsqueeze(select(select(film, 0, b), 1, t), 0);
      const auto latent = codec.encoder(frame);
      EXPECT_EQ(largest_difference(latent, unsqueeze(select(select(latents, 0, b), 1, t), 0)), 0);
      EXPECT_EQ(largest_difference(codec.decoder(latent), unsqueeze(select(select(decoded, 0, b), 1, t), 0)), 0);
    }
}

TEST_F(Taef2Data, LatentsAndReconstruction) {
  const NoGrad off;
  const Taef2Codec<> codec;
  EXPECT_LE(largest_difference(codec.encoder(images("image")), expected->tensor("latent")), 1e-4);
  EXPECT_LE(largest_difference(codec.decoder(images("latent")), expected->tensor("reconstruction")), 1e-4);
}

/// Whether products and sums are rounded once here: by the instruction set, and by the compiler.
struct Fuses {
  template <int B>
  FRAMEGRAD_INLINE static void run(const float* x, float* y) {
    using V = cpu::Vec<float, B>;
    cpu::detail::store_all(y, fma(cpu::detail::load_all<V>(x), cpu::detail::load_all<V>(x), V(-1.0f)));
  }
};
bool fuses() {
  alignas(64) float x[16], y[16];
  std::fill_n(x, 16, 1 + 0x1p-13f);
  cpu::dispatch<Fuses>(static_cast<const float*>(x), static_cast<float*>(y));
  return y[0] != 0x1p-12f;  // 2^-12 + 2^-26
}

TEST_F(Taef2Data, LossAndGradients) {
  if (!fuses()) GTEST_SKIP() << "f32 without FMA sees an activation of this image on the other side of a ReLU: 1.6e-4 of the gradient";
  test::expect_taef2_loss_and_gradients<float>(*expected, kCpu, 1e-4);
}
TEST_F(Taef2Data, LossAndGradientsInDouble) { test::expect_taef2_loss_and_gradients<double>(*expected, kCpu, 1e-6); }

}  // namespace
}  // namespace fg
