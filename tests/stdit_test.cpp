// STDiT against numbers of the reference code: specs H.2.
#include "recompute_from.hpp"
#include "stdit_golden.hpp"

namespace {

using namespace fg;

TEST(Stdit, Fill) {
  EXPECT_EQ(hash_name("input.x"), 0x8108462d5960cef5u);
  const auto x = test::filled<float, 1>("input.x", {4});
  EXPECT_NEAR(x(0), 0.29778385, 1e-7);
  EXPECT_NEAR(x(3), -0.66559076, 1e-7);
}
TEST(Stdit, Embeddings) { test::expect_reference_embeddings(test::TinyStdit()); }
TEST(Stdit, Output) { test::expect_reference_output(test::TinyStdit()); }
TEST(Stdit, Loss) { test::expect_reference_loss(test::TinyStdit()); }
TEST(Stdit, GradientsAndAStepOfAdamW) { test::expect_reference_training(test::TinyStdit()); }
TEST(Stdit, GradientsFromActivationsComputedAgain) {
  const RecomputeFrom all(0);
  test::expect_reference_training(test::TinyStdit());
}

}  // namespace
