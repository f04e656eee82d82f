// Samplers and losses of diffusion through the kernels: the known chains, the losses' gradients against double precision, and each sampler with a recorded
// network.
#include <gtest/gtest.h>

#include <framegrad/nn/recorded.hpp>
#include <framegrad/ops/rearrange.hpp>

#include "../diffusion_chains.hpp"

namespace {

using namespace fg;
using namespace fg::test;

class OnDevice : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << cuda::why_no_device();
  }
  const Device device = cuda_device();
};

TEST_F(OnDevice, AncestralChainsEndWhereTheyShould) { expect_known_chains<float>(device); }
TEST_F(OnDevice, LossesOfThePerfectPredictor) { expect_known_losses<float>(device); }
TEST_F(OnDevice, OrderOfConvergence) { expect_orders<float>(device, 160); }
TEST_F(OnDevice, DdimWithEtaOneIsAncestral) { expect_ddim_with_eta_one_is_ancestral<float>(device); }
TEST_F(OnDevice, VarianceChannelsAreLeftUnread) { expect_variance_unread<float>(device); }

/// ∂(total of the loss)/∂(the model's output) for samples at steps 0, 3 and 700.
template <class T>
std::vector<double> gradients_of_loss(Device device) {
  const auto x0 = to(tensor<T, 3>({3, 1, 3}, {T(0.3), T(-1), T(1), T(0.2), T(-0.4), T(0.1), T(-0.7), T(0.6), T(0.5)}), device);
  const auto noise = to(tensor<T, 3>({3, 1, 3}, {T(-1), T(0.5), T(0.2), T(0.7), T(0.1), T(-2), T(1.5), T(-0.3), T(0.4)}), device);
  auto said = empty<T, 3>({3, 2, 3});
  for (Index i = 0; i < said.count(); ++i) said.data()[i] = T(double(i * 7 % 19) / 10 - 0.9);
  const auto out = variable(to(said, device));
  backward(iddpm_loss(linear_schedule(), [&](const Tensor<T, 3>&, const Tensor<float, 1>&) { return out; }, x0, {0, 3, 700}, noise).total);
  std::vector<double> d;
  for (Index i = 0; i < out.count(); ++i) d.push_back(at(grad(out), i));
  return d;
}
TEST_F(OnDevice, GradientsOfTheLossAreThoseOfDouble) {
  const auto wanted = gradients_of_loss<double>(kCpu), got = gradients_of_loss<float>(device);
  // At step 0 a likelihood is the difference of two near-equal f32 values of the normal distribution: some 2⁻²⁴ of a probability near 1/50.
  for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(got[i], wanted[i], 2e-5 * std::max(1.0, std::abs(wanted[i]))) << i;
}

/// What each sampler shows and ends at with a network of its own weights, recorded or not.
struct Films {
  std::vector<double> ends;
  std::string why_not;
};
Films films_of(Device device, bool record) {
  struct In { Tensor<float, 3> x; Tensor<float, 1> t; };
  struct Out { Tensor<float, 3> prediction; };
  const Params p(3, device);
  const auto weight = p.tensor<float, 3>("weight", {1, 2, 8}, init::normal(0.3));
  Recorded<In, Out> network([&](const In& in) {
    const auto e = in.x * 0.9 + slice(*weight, 1, 0, 1) * rearrange<"b -> b 1 1">(in.t) * 1e-3;
    return Out{cat({e, in.x * 0 + slice(*weight, 1, 1, 2)}, 1)};
  }, p, record);
  const auto model = [&](const Tensor<float, 3>& x, const Tensor<float, 1>& t) { return network({x, t}).prediction; };

  Generator generator(7);
  const auto noise = noise_from(generator);
  auto x = empty<float, 3>({2, 1, 8});
  fill_randn(x.data(), x.count(), generator);
  x = to(x, device);
  Films films;
  const auto note = [&](const Tensor<float, 3>& y) {
    for (Index i = 0; i < y.count(); ++i) films.ends.push_back(at(y, i));
  };
  SamplerHooks<float, 3> hooks;
  hooks.preview = [&](Index, const Tensor<float, 3>& x0) { note(x0); };
  const auto s = respaced(linear_schedule(), 6);
  note(iddpm_sample(s, model, x, noise, hooks));
  note(ddim_sample(s, model, x, 0.5, noise, hooks));
  note(dpm_solver_sample(s, model, x, hooks));
  films.why_not = network.why_not();
  EXPECT_EQ(network.recordings(), record ? 1 : 0);
  return films;
}
TEST_F(OnDevice, SamplersHaveTheSameBitsWithARecordedNetwork) {
  const Films recorded = films_of(device, true), plain = films_of(device, false);
  EXPECT_EQ(recorded.why_not, "");
  EXPECT_EQ(recorded.ends, plain.ends);
  for (const double v : plain.ends) EXPECT_LT(std::abs(v), 1e3);  // numbers, not infinities
}

}  // namespace
