// Checkpoints: a network's weights to a safetensors file and back, under the released model's names.
#include <framegrad/framegrad.hpp>
#include <framegrad/io/safetensors.hpp>
#include <framegrad/models/stdit.hpp>

#include <cstdio>
#include <iostream>

using namespace fg;

int main() {
  StditConfig config;                       // the defaults are STDiT-XL/2; this is a small one
  config.hidden = 64, config.depth = 2, config.heads = 4, config.caption_width = 32, config.caption_tokens = 8;
  config.frames = 4, config.height = config.width = 8;

  const std::string path = "/tmp/framegrad_example_05.safetensors";
  const Params saved(7);
  const Stdit<float> model(config, saved);
  save_params(saved, path, {{"made_by", "05_checkpoint"}});

  // Loading is one call, and strict: every name, shape and type must fit. Here the copy computes in bf16.
  const Params loaded;
  const Stdit<bf16> copy(config, loaded);
  load_params(loaded, path);

  // x [B,C,T,H,W], timestep [B], caption [B,1,L,W] → [B,2C,T,H,W]
  const auto out = copy(full<bf16>({1, 4, 4, 8, 8}, bf16(0.5f)), full<float>({1}, 500.0f), full<bf16>({1, 1, 8, 32}, bf16(0.1f)));
  std::cout << "out is " << out.sizes().str() << "\n";

  // What doesn't fit is listed, all at once, and nothing has changed.
  config.depth = 1;
  const Params smaller;
  const Stdit<float> other(config, smaller);
  try {
    load_params(smaller, path);
  } catch (const FileError& e) {
    std::cout << std::string(e.what()).substr(0, 100) << " ...\n";
  }

  // The size of the released model, without its memory.
  const Params meta = Params::meta();
  const Stdit<bf16> released(StditConfig{}, meta);
  std::cout << "STDiT-XL/2 has " << meta.parameter_count() << " parameters\n";
  std::remove(path.c_str());
}
