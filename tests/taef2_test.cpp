// TAEF2 with its released weights against values computed in double with PyTorch: latents, reconstruction, loss, gradients.
#include "taef2_golden.hpp"

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
  const Taef2Codec codec;
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
  const Taef2Codec codec;
  EXPECT_LE(largest_difference(codec.encoder(images("image")), expected->tensor("latent")), 1e-4);
  EXPECT_LE(largest_difference(codec.decoder(images("latent")), expected->tensor("reconstruction")), 1e-4);
}

TEST_F(Taef2Data, LossAndGradients) { test::expect_taef2_loss_and_gradients(*expected, kCpu); }

}  // namespace
}  // namespace fg
