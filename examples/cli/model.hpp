// A text-to-video model as the commands use it: without its scalar type, which is a template and slow to compile. Each scalar type
// is compiled once, in bf16.cpp and float.cpp.
#pragma once

#include <functional>
#include <memory>

#include <framegrad/io/film.hpp>
#include <framegrad/io/run_folder.hpp>
#include <framegrad/models/text_to_video_json.hpp>

namespace cli {

using fg::Index;

/// A model that is ready to sample from.
class Model {
 public:
  virtual ~Model() = default;
  virtual const fg::RunConfig& config() const = 0;
  virtual Index step() const = 0;
  /// One latent for each prompt, [B,C,T,H,W], on the host.
  virtual fg::Tensor<float, 5> sample(const std::vector<std::string>& prompts, const fg::SampleOptions& o, const fg::SamplerHooks<float, 5>& hooks) const = 0;
  virtual void export_to(const std::string& path) const = 0;
};

/// Of a run folder or a released model. Throws FileError or ConfigError.
std::unique_ptr<Model> open_model(const std::string& path, fg::Device device = fg::kCpu);

/// What a step of training takes: memory and FLOPs by running it on tensors without memory, time by the speed of one layer now.
struct Forecast {
  double parameters = 0, memory_bytes = 0, step_flops = 0, step_s = 0;
  std::vector<std::pair<std::string, fg::KeptMemory::Op>> kept;  // by the ops of a batch of films for backward, the most first
};
Forecast forecast(const fg::RunConfig& c);

struct TrainJob {
  fg::RunConfig config;
  fg::LatentSource& source;
  std::string folder, init;
  fg::Device device;
};
/// Trains until the last step or Ctrl-C, saving, drawing and sampling on the way.
void train(const TrainJob& job);

/// Latents [B,C,T,H,W] as the model has them → films.
std::vector<fg::Film> decode_latents(const fg::RunConfig& c, const fg::Tensor<float, 5>& x);

/// Prompts → films, in batches of at most `batch`, with a progress line.
std::vector<fg::Film> sample_films(const Model& model, const std::vector<std::string>& prompts, const fg::SampleOptions& o, Index batch);

template <class Scalar> std::unique_ptr<Model> open_model_as(const std::string& path, fg::Device device);
template <class Scalar> Forecast forecast_as(const fg::RunConfig& c);
template <class Scalar> void train_as(const TrainJob& job);

}  // namespace cli
