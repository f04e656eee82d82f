// STDiT against numbers of the reference code (Open-Sora v1.0.0): specs H.2, and the properties of H.1.
#include <gtest/gtest.h>

#include <framegrad/models/stdit.hpp>

#include "tiny_stdit.hpp"

namespace {

using namespace fg;
using test::filled, test::prefix_mask, test::tiny;

struct Expected {
  double sum, absolute, squares;
  std::vector<double> first, last;
};

void expect_numbers(const AnyTensor& any, const Expected& e) {
  const AnyTensor t = row_major_copy(any.detach());
  const auto* p = static_cast<const float*>(t.raw());
  double sum = 0, absolute = 0, squares = 0;
  for (Index i = 0; i < t.count(); ++i) sum += double(p[i]), absolute += std::abs(double(p[i])), squares += double(p[i]) * double(p[i]);
  EXPECT_NEAR(sum, e.sum, 1e-3);
  EXPECT_NEAR(absolute, e.absolute, 1e-3);
  EXPECT_NEAR(squares, e.squares, 1e-3);
  for (std::size_t i = 0; i < e.first.size(); ++i) EXPECT_NEAR(p[i], e.first[i], 2e-5);
  for (std::size_t i = 0; i < e.last.size(); ++i) EXPECT_NEAR(p[t.count() - Index(e.last.size() - i)], e.last[i], 2e-5);
}

struct Tiny : testing::Test {
  Params params;
  Stdit<float> model{tiny(), params};
  Tensor<float, 5> x = filled<float, 5>("input.x", {2, 4, 4, 8, 8});
  Tensor<float, 4> y = filled<float, 4>("input.y", {2, 1, 12, 32});
  Tensor<float, 1> t = tensor<float, 1>({2}, {7, 900});
  Tensor<std::int64_t, 2> mask = prefix_mask({5, 9}, 12);
  Tiny() { test::fill_params(params); }
};

TEST_F(Tiny, Fill) {
  EXPECT_EQ(hash_name("input.x"), 0x8108462d5960cef5u);
  EXPECT_NEAR(x.data()[0], 0.29778385, 1e-7);
  EXPECT_NEAR(x.data()[3], -0.66559076, 1e-7);
}

TEST_F(Tiny, Embeddings) {
  const NoGrad off;
  expect_numbers(model.patches(x), {27.840084, 3275.147398, 1376.038208, {-0.404092, 0.495748, -0.648870, -0.161727}, {-0.189011, -0.541058}});
  expect_numbers(params.find("pos_embed")->value, {744.014509, 839.316306, 768, {0, 0, 0, 0}, {0.999999, 1}});
  expect_numbers(params.find("pos_embed_temporal")->value, {200.063053, 205.751742, 192, {0, 0, 0, 0}, {1, 1}});
  const auto [t_emb, t0] = model.embed_time(t);
  expect_numbers(t_emb, {-2.372051, 20.806579, 3.615812, {0.119564, -0.034041, -0.062557, -0.154329}, {0.069963, 0.127076}});
  expect_numbers(t0, {0.148688, 68.682824, 5.959780, {-0.078025, 0.032826, -0.076678, -0.086496}, {-0.124294, 0.064615}});
  expect_numbers(model.embed_text(y, {}).rows, {-2.258771, 226.751095, 35.185486, {0.005620, -0.077463, -0.092050, 0.073217}, {0.037664, 0.000269}});
}

TEST_F(Tiny, Output) {
  const NoGrad off;
  const auto out = model(x, t, y, mask);
  EXPECT_EQ(out.sizes(), (Shape{2, 8, 4, 8, 8}));
  expect_numbers(out, {38.875149, 2114.862567, 1711.655352, {-0.581047, 0.608965, -0.961877, 0.921842, -0.825765, 0.033610, -0.723231, 0.058039},
                       {0.280097, 0.537524, 0.171674, -0.091421, -0.046993, -0.142985, -0.434695, -0.321621}});
  const auto null = model(x, t, model.null_caption(2, 12), mask);
  expect_numbers(null, {37.050887, 2116.563613, 1708.176350, {-0.602641, 0.566130, -0.988252, 0.871836}, {-0.419832, -0.327217}});
}

}  // namespace
