// STDiT against numbers of the reference code (Open-Sora v1.0.0): specs H.2, on any device.
#pragma once

#include <gtest/gtest.h>

#include <framegrad/optim/adamw.hpp>
#include <framegrad/optim/clip.hpp>

#include "tiny_stdit.hpp"

namespace fg::test {

struct Numbers {
  double sum, absolute, squares;
  std::vector<double> first, last;
};

inline void expect_numbers(const AnyTensor& any, const Numbers& e) {
  const AnyTensor t = row_major_copy(to(any.detach(), kCpu));
  const auto* p = static_cast<const float*>(t.raw());
  double sum = 0, absolute = 0, squares = 0;
  for (Index i = 0; i < t.count(); ++i) sum += double(p[i]), absolute += std::abs(double(p[i])), squares += double(p[i]) * double(p[i]);
  EXPECT_NEAR(sum, e.sum, 1e-3);
  EXPECT_NEAR(absolute, e.absolute, 1e-3);
  EXPECT_NEAR(squares, e.squares, 1e-3);
  for (std::size_t i = 0; i < e.first.size(); ++i) EXPECT_NEAR(p[i], e.first[i], 2e-5);
  for (std::size_t i = 0; i < e.last.size(); ++i) EXPECT_NEAR(p[t.count() - Index(e.last.size() - i)], e.last[i], 2e-5);
}

inline void expect_reference_embeddings(const TinyStdit& s) {
  const NoGrad off;
  expect_numbers(s.model.patches(s.x), {27.840084, 3275.147398, 1376.038208, {-0.404092, 0.495748, -0.648870, -0.161727}, {-0.189011, -0.541058}});
  expect_numbers(s.params.find("pos_embed")->value, {744.014509, 839.316306, 768, {0, 0, 0, 0}, {0.999999, 1}});
  expect_numbers(s.params.find("pos_embed_temporal")->value, {200.063053, 205.751742, 192, {0, 0, 0, 0}, {1, 1}});
  const auto [t_emb, t0] = s.model.embed_time(s.t);
  expect_numbers(t_emb, {-2.372051, 20.806579, 3.615812, {0.119564, -0.034041, -0.062557, -0.154329}, {0.069963, 0.127076}});
  expect_numbers(t0, {0.148688, 68.682824, 5.959780, {-0.078025, 0.032826, -0.076678, -0.086496}, {-0.124294, 0.064615}});
  expect_numbers(s.model.embed_text(s.y, {}).rows, {-2.258771, 226.751095, 35.185486, {0.005620, -0.077463, -0.092050, 0.073217}, {0.037664, 0.000269}});
}

inline void expect_reference_output(const TinyStdit& s) {
  const NoGrad off;
  const auto out = s.model(s.x, s.t, s.y, s.mask);
  EXPECT_EQ(out.sizes(), (Shape{2, 8, 4, 8, 8}));
  expect_numbers(out, {38.875149, 2114.862567, 1711.655352, {-0.581047, 0.608965, -0.961877, 0.921842, -0.825765, 0.033610, -0.723231, 0.058039},
                       {0.280097, 0.537524, 0.171674, -0.091421, -0.046993, -0.142985, -0.434695, -0.321621}});
  const auto null = s.model(s.x, s.t, s.model.null_caption(2, 12), s.mask);
  expect_numbers(null, {37.050887, 2116.563613, 1708.176350, {-0.602641, 0.566130, -0.988252, 0.871836}, {-0.419832, -0.327217}});
}

inline void expect_loss(const IddpmLoss<float>& l, std::initializer_list<double> mse, std::initializer_list<double> vb, double tolerance) {
  const auto got_mse = to(l.mse.detach(), kCpu), got_vb = to(l.vb.detach(), kCpu), loss = to(l.loss.detach(), kCpu);
  for (Index i = 0; i < 2; ++i) {
    const double m = mse.begin()[i], v = vb.begin()[i];
    EXPECT_NEAR(got_mse(i), m, tolerance);
    EXPECT_NEAR(got_vb(i), v, tolerance);
    EXPECT_NEAR(loss(i), m + v, tolerance);
  }
  EXPECT_NEAR(l.total.item(), (loss(0) + loss(1)) / 2, 1e-6);
}

inline void expect_reference_loss(const TinyStdit& s) {
  const NoGrad off;
  expect_loss(s.loss(s.model, {7, 900}), {0.673752, 0.767670}, {0.099373, 0.010169}, 2e-5);
  expect_loss(s.loss(s.model, {0, 999}), {0.674773, 0.780491}, {2.128814, 0.011490}, 2e-5);
}

/// Gradients, and the loss after a step of AdamW.
inline void expect_reference_training(const TinyStdit& s) {
  const struct { const char* name; double norm, first; } expected[] = {
      {"x_embedder.proj.weight", 1.330478e-1, 9.832960e-4},          {"t_block.1.weight", 1.017224e-1, 1.393238e-4},
      {"y_embedder.y_proj.fc1.weight", 3.656145e-2, -5.705982e-5},   {"blocks.0.attn.qkv.weight", 1.012462e-1, -1.095182e-5},
      {"blocks.0.attn_temp.qkv.weight", 1.535622e-1, 5.688e-7},      {"blocks.1.cross_attn.kv_linear.weight", 9.018414e-2, -1.728724e-6},
      {"blocks.1.scale_shift_table", 9.057480e-2, 8.054050e-4},      {"blocks.2.mlp.fc2.bias", 3.252438e-2, 9.857133e-5},
      {"final_layer.linear.weight", 2.009727, 4.136033e-2},          {"final_layer.scale_shift_table", 2.054917e-1, 6.834349e-3}};
  backward(s.loss(s.model, {7, 900}).total);
  EXPECT_EQ(s.params.without_grad(), std::vector<std::string>{});
  const double norm = grad_norm(s.params);
  EXPECT_NEAR(norm, 2.340862, 1e-5 * norm);
  for (const auto& e : expected) {
    const AnyTensor g = to(grad(s.params.find(e.name)->value), kCpu);
    EXPECT_NEAR(global_norm({g}), e.norm, 1e-5 * e.norm) << e.name;
    EXPECT_NEAR(static_cast<const float*>(row_major_copy(g).raw())[0], e.first, std::max(1e-8, 1e-5 * std::abs(e.first))) << e.name;
  }
  AdamW adamw(s.params);
  adamw.step(2e-5, clip_factor(norm, 1.0));
  const NoGrad off;
  expect_loss(s.loss(s.model, {7, 900}), {0.666965, 0.759225}, {0.098422, 0.010057}, 1e-4);
}

}  // namespace fg::test
