// Chooses a model's scalar type, and turns latents into films.
#include "model.hpp"

#include <framegrad/models/latent_sources.hpp>
#include <framegrad/models/taef2.hpp>

#include "terminal.hpp"

namespace cli {

extern template std::unique_ptr<Model> open_model_as<float>(const std::string&, fg::Device);
extern template std::unique_ptr<Model> open_model_as<fg::bf16>(const std::string&, fg::Device);
extern template Forecast forecast_as<float>(const fg::RunConfig&);
extern template Forecast forecast_as<fg::bf16>(const fg::RunConfig&);
extern template void train_as<float>(const TrainJob&);
extern template void train_as<fg::bf16>(const TrainJob&);

namespace {
template <class F>
auto with_scalar(const std::string& dtype, F&& f) {
  return dtype == "float" ? f(float{}) : f(fg::bf16{});
}
}  // namespace

std::unique_ptr<Model> open_model(const std::string& path, fg::Device device) {
  return with_scalar(fg::run_config_from_json(fg::read_json(path + "/config.json")).dtype, [&](auto t) { return open_model_as<decltype(t)>(path, device); });
}
Forecast forecast(const fg::RunConfig& c) {
  return with_scalar(c.dtype, [&](auto t) { return forecast_as<decltype(t)>(c); });
}
void train(const TrainJob& job) {
  with_scalar(job.config.dtype, [&](auto t) { train_as<decltype(t)>(job); });
}

std::vector<fg::Film> decode_latents(const fg::RunConfig& c, const fg::Tensor<float, 5>& x) {
  if (c.data.codec == "pixels") return fg::films_of(x);
  const fg::NoGrad off;
  static const fg::Params params;
  static const fg::Taef2Decoder<float> decoder(params);
  static const bool loaded = (fg::load_params(params, assets_folder() + "/taef2_decoder.safetensors"), true);
  (void)loaded;
  std::vector<fg::Film> films;
  for (Index b = 0; b < x.size(0); ++b) {  // one film at a time: the decoder's activations are large
    const auto pixels = decoder.decode(fg::slice(x, 0, b, b + 1) * c.model.latent_scale);
    films.push_back(fg::films_of(pixels * 2.0 - 1.0)[0]);
  }
  return films;
}

std::vector<fg::Film> sample_films(const Model& model, const std::vector<std::string>& prompts, const fg::SampleOptions& o, Index batch) {
  std::vector<fg::Film> films;
  Progress progress(10);
  const double begin = now_s();
  const Index batches = (Index(prompts.size()) + batch - 1) / batch;
  for (Index i = 0; i < batches; ++i) {
    const std::size_t first = std::size_t(i * batch), last = std::min(prompts.size(), first + std::size_t(batch));
    fg::SampleOptions here = o;
    here.seed += std::uint64_t(i);
    fg::SamplerHooks<float, 5> hooks;
    if (i == 0) hooks.note = [](const std::string& why) { std::fprintf(stderr, "note: launches are queued one after the other: %s\n", why.c_str()); };
    hooks.cancel = [] { return interrupted != 0; };
    hooks.progress = [&](Index done, Index steps) {
      if (!progress.due()) return;
      const double part = (double(i) + double(done) / double(steps)) / double(batches), took = now_s() - begin;
      progress.show(fg::text("sampling: ", int(100 * part), " %, ", duration(took / part - took), " left"));
    };
    const auto x = model.sample({prompts.begin() + std::ptrdiff_t(first), prompts.begin() + std::ptrdiff_t(last)}, here, hooks);
    for (auto& f : decode_latents(model.config(), x)) films.push_back(std::move(f));
  }
  progress.end();
  return films;
}

}  // namespace cli
