// dropout beyond its case: how many elements it keeps, that a step's numbers are its own, and that checkpoint draws the same again.
#include <gtest/gtest.h>

#include <framegrad/autograd/checkpoint.hpp>
#include <framegrad/ops/dropout.hpp>

namespace fg {
namespace {

std::vector<float> mask_at(std::uint64_t seed, std::uint32_t step) {
  RandomState::instance().begin_step(seed, step);
  const auto y = dropout(ones<float>({1000, 100}), 0.1f, true);
  return {y.data(), y.data() + y.count()};
}

TEST(Dropout, KeepsItsShareAndTheMean) {
  const auto y = mask_at(3, 0);
  double zeros = 0, sum = 0;
  for (const float v : y) zeros += v == 0, sum += v;
  const double n = double(y.size()), deviation = std::sqrt(0.1 * 0.9 / n);
  EXPECT_NEAR(zeros / n, 0.1, 4 * deviation);
  EXPECT_NEAR(sum / n, 1, 4 * deviation / 0.9);
}

TEST(Dropout, DependsOnSeedAndStepAlone) {
  EXPECT_EQ(mask_at(3, 5), mask_at(3, 5));
  EXPECT_NE(mask_at(3, 5), mask_at(3, 6));
  EXPECT_NE(mask_at(3, 5), mask_at(4, 5));
}

TEST(Dropout, IsTheSameWhenCheckpointRunsAgain) {
  const auto f = [](const Tensor<float, 2>& x) { return dropout(dropout(x, 0.5f, true), 0.25f, true); };
  const auto plain = variable(ones<float>({40, 50})), again = variable(ones<float>({40, 50}));
  const auto dy = ones<float>({40, 50});

  RandomState::instance().begin_step(1, 2);
  backward(f(plain), dy);
  const auto next = RandomState::instance().draws;

  RandomState::instance().begin_step(1, 2);
  const auto y = checkpoint(f, again);
  next_draw();  // what came between forward and backward must not matter, nor be disturbed
  backward(y, dy);
  EXPECT_EQ(RandomState::instance().draws, next + 1);
  for (Index i = 0; i < dy.count(); ++i) ASSERT_EQ(grad(plain).data()[i], grad(again).data()[i]) << "element " << i;
}

TEST(Dropout, RefusesAProbabilityOfOne) { EXPECT_THROW(dropout(ones<float>({1}), 1.0f, true), ConfigError); }

TEST(Dropout, IsTheIdentityWhenNotTraining) {
  const auto x = ones<float>({3});
  EXPECT_EQ(dropout(x, 0.5f, false).data(), x.data());
}

}  // namespace
}  // namespace fg
