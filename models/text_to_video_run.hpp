// Runs on disk: a TextToVideo model from a folder, and a training that is saved and resumed bit for bit.
//
// A run folder (io/run_folder.hpp) holds config.json and checkpoints. A released model is a folder with config.json and
// model.safetensors alone, written by `export_run`.
#pragma once

#include <filesystem>

#include <framegrad/io/run_folder.hpp>
#include <framegrad/models/text_to_video_json.hpp>

namespace fg::inline FRAMEGRAD_ABI {

template <class Scalar>
struct LoadedRun {
  RunConfig config;
  std::unique_ptr<TextToVideo<Scalar>> model;
  Index step = 0;   // of the checkpoint; 0 for a released model, which doesn't know
};

/// The configuration of a run folder or a released model. Throws FileError or ConfigError.
inline RunConfig read_run_config(const std::string& path) { return run_config_from_json(read_json(path + "/config.json")); }

/// A model on a device, ready to sample from: the averaged weights of the newest checkpoint, or those of a released model.
/// Throws FileError, with every tensor that is missing or doesn't fit.
template <class Scalar>
LoadedRun<Scalar> load_run(const std::string& path, Device device = kCpu) {
  LoadedRun<Scalar> run{read_run_config(path), nullptr, 0};
  run.model = std::make_unique<TextToVideo<Scalar>>(run.config.model, Params(0, device));
  const Params& params = run.model->params();
  if (std::filesystem::exists(path + "/model.safetensors")) {
    load_params(params, path + "/model.safetensors");
    return run;
  }
  const RunFolder folder = RunFolder::open(path);
  const auto step = folder.latest();
  check<FileError>(step.has_value(), "load_run", path, " has neither a model.safetensors nor a complete checkpoint");
  const SavedCheckpoint saved = folder.load(*step);
  run.step = *step;
  load_params(params, saved.model);
  if (saved.ema) load_params(params, *saved.ema, {.allow_missing = [&](const std::string& n) { return params.find(n)->is_buffer; },
                                                  .allow_unexpected = [](const std::string& n) { return n == "ema.updates"; }});
  return run;
}

/// Writes what sampling needs, in the scalar type of the model: config.json and model.safetensors.
template <class Scalar>
void export_run(const LoadedRun<Scalar>& run, const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  check<FileError>(!error, "export", path, ": ", error.message());
  save_params(run.model->params(), path + "/model.safetensors");
  write_json(path + "/config.json", to_json(run.config));
}

/// Everything that a resumed training needs.
template <class Scalar>
Checkpoint checkpoint_of(const TextToVideo<Scalar>& model, Trainer<Scalar>& trainer) {
  nlohmann::json state{{"films", trainer.films_seen()}, {"stills", trainer.stills_seen()}};
  if (trainer.loss_scaler()) {
    const auto s = trainer.loss_scaler()->state();
    state["loss_scaler"] = {{"scale", s.scale}, {"good_steps", s.good_steps}, {"skipped", s.skipped}};
  }
  return {trainer.steps_done(), named_tensors(model.params()), trainer.ema().state(), trainer.optimizer().state(), state};
}

/// Continues a training where its newest checkpoint stands. Returns false if there is none. Throws FileError.
template <class Scalar>
bool resume(const RunFolder& folder, const TextToVideo<Scalar>& model, Trainer<Scalar>& trainer) {
  const auto step = folder.latest();
  if (!step) return false;
  const SavedCheckpoint saved = folder.load(*step);
  check<FileError>(saved.ema && saved.optimizer, "resume", folder.folder_of(*step), " has no optimizer or average: it can be sampled from only");
  const auto number = [&](const nlohmann::json& of, const char* key) {
    const auto it = of.find(key);
    check<FileError>(it != of.end() && it->is_number() && it->template get<double>() >= 0, "resume", folder.folder_of(*step), ": state.json has no number \"", key, "\"");
    return it->template get<double>();
  };
  const Index films = Index(number(saved.state, "films")), stills = Index(number(saved.state, "stills"));
  if (trainer.loss_scaler()) {
    const auto s = saved.state.find("loss_scaler");
    check<FileError>(s != saved.state.end() && s->is_object(), "resume", folder.folder_of(*step), ": state.json has no \"loss_scaler\"");
    trainer.loss_scaler()->load({number(*s, "scale"), Index(number(*s, "good_steps")), Index(number(*s, "skipped"))});
  }
  load_params(model.params(), saved.model);
  trainer.optimizer().load(saved.optimizer->tensors(), saved.optimizer->path());
  trainer.ema().load(saved.ema->tensors(), saved.ema->path());
  trainer.resume_at(*step, films, stills);
  return true;
}

}  // namespace fg::inline FRAMEGRAD_ABI
