// TAEF2 with its released weights against values computed in double with PyTorch, on any device.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include <framegrad/io/json_file.hpp>
#include <framegrad/io/safetensors.hpp>
#include <framegrad/models/taef2.hpp>
#include <framegrad/ops/mse.hpp>

namespace fg::test {

#ifdef FRAMEGRAD_SOURCE_DIR
inline const std::string kSource = FRAMEGRAD_SOURCE_DIR;
#else
inline const std::string kSource = ".";
#endif

inline std::string shared_data() {
  if (const char* s = std::getenv("FRAMEGRAD_SHARED")) return s;
  return kSource + "/../shared/data";
}

template <class Scalar = float>
struct Taef2Codec {
  Params encoder_params, decoder_params;
  Taef2Encoder<Scalar> encoder{encoder_params};
  Taef2Decoder<Scalar> decoder{decoder_params};
  explicit Taef2Codec(Device device = kCpu) {
    load_params(encoder_params, kSource + "/assets/taef2_encoder.safetensors");
    load_params(decoder_params, kSource + "/assets/taef2_decoder.safetensors");
    encoder_params.to(device), decoder_params.to(device);
  }
};

inline Tensor<double> in_double(const AnyTensor& a) {
  return Tensor<double>(row_major_copy(converted(to(a.detach(), kCpu), Dtype::f64)));
}
inline double largest_difference(const AnyTensor& a, const AnyTensor& b) {
  if (!(a.sizes() == b.sizes())) return INFINITY;
  const auto x = in_double(a), y = in_double(b);
  double m = 0;
  for (Index i = 0; i < x.count(); ++i) m = std::max(m, std::isnan(x.data()[i]) ? INFINITY : std::abs(x.data()[i] - y.data()[i]));
  return m;
}
inline double norm(const AnyTensor& a) {
  const auto x = in_double(a);
  double s = 0;
  for (Index i = 0; i < x.count(); ++i) s += x.data()[i] * x.data()[i];
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

// The loss is the mean squared error of a 64×64 crop's reconstruction. `tolerance`: of gradients, relative.
template <class Scalar>
void expect_taef2_loss_and_gradients(const Safetensors& expected, Device device, double tolerance) {
  const Taef2Codec<Scalar> codec(device);
  const auto image = variable(to(Tensor<Scalar, 4>(converted(expected.tensor("grad.image_64"), dtype_of<Scalar>)), device));
  const auto latent = codec.encoder(image);
  EXPECT_LE(largest_difference(latent, expected.tensor("grad.latent_64")), 1e-4);
  const auto loss = mse(codec.decoder(latent), image.detach());  // the target is a constant
  EXPECT_NEAR(loss.item(), *static_cast<const float*>(expected.tensor("grad.loss").raw()), 1e-7);
  backward(loss);

  const auto slot = [&](const std::string& name) {
    const auto dot = name.find('.');
    return (name.substr(0, dot) == "encoder" ? codec.encoder_params : codec.decoder_params).find(name.substr(dot + 1));
  };
  // Through 40 layers: relative to the L2 norm of the whole gradient.
  EXPECT_LE(largest_difference(grad(image), expected.tensor("grad.d_image_64")), tolerance * norm(expected.tensor("grad.d_image_64")));
  int compared = 0;
  for (const auto& e : expected.entries()) {
    if (!e.name.starts_with("grad.encoder") && !e.name.starts_with("grad.decoder")) continue;
    const auto s = slot(e.name.substr(5));
    ASSERT_TRUE(s) << e.name;
    const AnyTensor wanted = expected.tensor(e.name);
    EXPECT_LE(largest_difference(grad(s->value), wanted), tolerance * norm(wanted)) << e.name;
    ++compared;
  }
  EXPECT_EQ(compared, 13);

  const auto norms = read_json(shared_data() + "/expected/taef2_grad_norms.json").at("grad_l2_norms");
  EXPECT_EQ(norms.size(), codec.encoder_params.slots().size() + codec.decoder_params.slots().size());
  for (const auto& [name, value] : norms.items()) {
    const auto s = slot(name);
    ASSERT_TRUE(s) << name;
    ASSERT_TRUE(grad(s->value).defined()) << name;
    EXPECT_NEAR(norm(grad(s->value)), value.template get<double>(), tolerance * value.template get<double>()) << name;
  }
}

}  // namespace fg::test
