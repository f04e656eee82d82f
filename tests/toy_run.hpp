// A text-to-video run of toy size over moving shapes.
#pragma once

#include <framegrad/data/moving_shapes.hpp>
#include <framegrad/models/latent_sources.hpp>
#include <framegrad/models/text_to_video_run.hpp>

namespace fg::test {

inline RunConfig toy(double peak_rate) {
  RunConfig c;
  c.dtype = "float";
  c.model.video.hidden = 32, c.model.video.depth = 2, c.model.video.heads = 2, c.model.video.frames = 4;
  c.model.video.height = c.model.video.width = 16;
  c.model.text.width = 32, c.model.text.depth = 1, c.model.text.heads = 2;
  c.model.words = moving_shapes::vocabulary().words();
  c.train.batch = 3, c.train.still_batch = 5, c.train.stills_first = 1, c.train.still_share = 0.4, c.train.lr.warmup_steps = 2, c.train.lr.peak = peak_rate, c.train.clip = 1;
  return c;
}
inline MovingShapesSource shapes(const RunConfig& c) {
  const auto& v = c.model.video;
  return {v.frames, v.height, v.width, c.train.seed, {}, v.patch_t};
}

}  // namespace fg::test
