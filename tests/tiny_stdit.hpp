// The tiny STDiT of specs H.2, its inputs and its masks.
#pragma once

#include <framegrad/diffusion/iddpm.hpp>
#include <framegrad/models/stdit.hpp>

#include "fill.hpp"

namespace fg::test {

inline StditConfig tiny() {
  StditConfig c;
  c.hidden = 96, c.depth = 3, c.heads = 4, c.caption_width = 32, c.caption_tokens = 12;
  c.frames = 4, c.height = 8, c.width = 8;
  return c;
}

/// Rows of 1 in the first columns: so many tokens for each sample.
inline Tensor<std::int64_t, 2> prefix_mask(std::initializer_list<Index> lengths, Index L) {
  auto m = zeros<std::int64_t>({Index(lengths.size()), L});
  Index b = 0;
  for (const Index n : lengths) {
    for (Index l = 0; l < n; ++l) m(b, l) = 1;
    ++b;
  }
  return m;
}

/// The tiny model with its inputs, all on one device.
struct TinyStdit {
  explicit TinyStdit(Device device = kCpu) {
    fill_params(params);
    params.to(device);
    x = to(x, device), x0 = to(x0, device), noise = to(noise, device), y = to(y, device);
  }

  Params params;
  Stdit<float> model{tiny(), params};
  Tensor<float, 5> x = filled<float, 5>("input.x", {2, 4, 4, 8, 8});
  Tensor<float, 5> x0 = filled<float, 5>("input.x0", {2, 4, 4, 8, 8});
  Tensor<float, 5> noise = filled<float, 5>("input.eps", {2, 4, 4, 8, 8});
  Tensor<float, 4> y = filled<float, 4>("input.y", {2, 1, 12, 32});
  Tensor<float, 1> t = tensor<float, 1>({2}, {7, 900});
  Tensor<std::int64_t, 2> mask = prefix_mask({5, 9}, 12);
  NoiseSchedule schedule = linear_schedule();

  IddpmLoss<float> loss(const Stdit<float>& m, const std::vector<Index>& steps) const {
    return iddpm_loss(schedule, [&](const Tensor<float, 5>& xt, const Tensor<float, 1>& time) { return m(xt, time, y, mask); }, x0, steps, noise);
  }
};

}  // namespace fg::test
