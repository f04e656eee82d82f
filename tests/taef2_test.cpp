// TAEF2 with its released weights against values computed in double with PyTorch: latents, reconstruction, loss, gradients.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include <framegrad/io/json_file.hpp>
#include <framegrad/io/safetensors.hpp>
#include <framegrad/models/taef2.hpp>
#include <framegrad/ops/mse.hpp>

namespace fg {
namespace {

#ifdef FRAMEGRAD_SOURCE_DIR
const std::string kSource = FRAMEGRAD_SOURCE_DIR;
#else
const std::string kSource = ".";
#endif

std::string shared_data() {
  if (const char* s = std::getenv("FRAMEGRAD_SHARED")) return s;
  return kSource + "/../shared/data";
}

struct Codec {
  Params encoder_params, decoder_params;
  Taef2Encoder<float> encoder{encoder_params};
  Taef2Decoder<float> decoder{decoder_params};
  Codec() {
    load_params(encoder_params, kSource + "/assets/taef2_encoder.safetensors");
    load_params(decoder_params, kSource + "/assets/taef2_decoder.safetensors");
  }
};

double largest_difference(const AnyTensor& a, const AnyTensor& b) {
  if (!(a.sizes() == b.sizes())) return INFINITY;
  const AnyTensor x = row_major_copy(a.detach()), y = row_major_copy(b);
  const auto *p = static_cast<const float*>(x.raw()), *q = static_cast<const float*>(y.raw());
  double m = 0;
  for (Index i = 0; i < x.count(); ++i) m = std::max(m, std::isnan(p[i]) ? INFINITY : double(std::abs(p[i] - q[i])));
  return m;
}
double norm(const AnyTensor& a) {
  const AnyTensor x = row_major_copy(a);
  double s = 0;
  for (Index i = 0; i < x.count(); ++i) s += double(static_cast<const float*>(x.raw())[i]) * double(static_cast<const float*>(x.raw())[i]);
  return std::sqrt(s);
}

class Taef2Data : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(shared_data() + "/expected/taef2_expected.safetensors")) GTEST_SKIP() << "no shared data: set FRAMEGRAD_SHARED to its folder";
    expected.emplace(shared_data() + "/expected/taef2_expected.safetensors");
  }
  Tensor<float, 4> images(std::string_view name) const { return expected->tensor(name).as<float, 4>(); }
  std::optional<Safetensors> expected;
};

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
  const Codec codec;
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
  const Codec codec;
  EXPECT_LE(largest_difference(codec.encoder(images("image")), expected->tensor("latent")), 1e-4);
  EXPECT_LE(largest_difference(codec.decoder(images("latent")), expected->tensor("reconstruction")), 1e-4);
}

// The loss is the mean squared error of a 64×64 crop's reconstruction.
TEST_F(Taef2Data, LossAndGradients) {
  const Codec codec;
  const auto image = variable(Tensor<float, 4>(row_major_copy(images("grad.image_64"))));
  const auto latent = codec.encoder(image);
  EXPECT_LE(largest_difference(latent, expected->tensor("grad.latent_64")), 1e-4);
  const auto loss = mse(codec.decoder(latent), image.detach());  // the target is a constant
  EXPECT_NEAR(loss.item(), *static_cast<const float*>(expected->tensor("grad.loss").raw()), 1e-7);
  backward(loss);

  const auto slot = [&](const std::string& name) {
    const auto dot = name.find('.');
    return (name.substr(0, dot) == "encoder" ? codec.encoder_params : codec.decoder_params).find(name.substr(dot + 1));
  };
  // f32 through 40 layers: relative to the L2 norm of the whole gradient.
  EXPECT_LE(largest_difference(grad(image), expected->tensor("grad.d_image_64")), 1e-4 * norm(expected->tensor("grad.d_image_64")));
  int compared = 0;
  for (const auto& e : expected->entries()) {
    if (!e.name.starts_with("grad.encoder") && !e.name.starts_with("grad.decoder")) continue;
    const auto s = slot(e.name.substr(5));
    ASSERT_TRUE(s) << e.name;
    const AnyTensor wanted = expected->tensor(e.name);
    EXPECT_LE(largest_difference(grad(s->value), wanted), 1e-4 * norm(wanted)) << e.name;
    ++compared;
  }
  EXPECT_EQ(compared, 13);

  const auto norms = read_json(shared_data() + "/expected/taef2_grad_norms.json").at("grad_l2_norms");
  EXPECT_EQ(norms.size(), codec.encoder_params.slots().size() + codec.decoder_params.slots().size());
  for (const auto& [name, value] : norms.items()) {
    const auto s = slot(name);
    ASSERT_TRUE(s) << name;
    ASSERT_TRUE(grad(s->value).defined()) << name;
    EXPECT_NEAR(norm(grad(s->value)), value.get<double>(), 1e-4 * value.get<double>()) << name;
  }
}

}  // namespace
}  // namespace fg
