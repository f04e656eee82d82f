// What a command does with a model of one scalar type: opens it, forecasts its training, and trains it.
#pragma once

#include <fstream>

#include <framegrad/data/moving_shapes.hpp>
#include <framegrad/io/curve.hpp>
#include <framegrad/models/text_to_video_run.hpp>

#include "model.hpp"
#include "terminal.hpp"

namespace cli {

template <class Scalar>
class ModelOf final : public Model {
 public:
  ModelOf(const std::string& path, fg::Device device) : run_(fg::load_run<Scalar>(path, device)) {}
  const fg::RunConfig& config() const override { return run_.config; }
  Index step() const override { return run_.step; }
  fg::Tensor<float, 5> sample(const std::vector<std::string>& prompts, const fg::SampleOptions& o, const fg::SamplerHooks<float, 5>& hooks) const override {
    return fg::to(run_.model->sample(prompts, o, hooks), fg::kCpu);
  }
  void export_to(const std::string& path) const override { fg::export_run(run_, path); }

 private:
  fg::LoadedRun<Scalar> run_;
};

template <class Scalar>
std::unique_ptr<Model> open_model_as(const std::string& path, fg::Device device) { return std::make_unique<ModelOf<Scalar>>(path, device); }

/// FLOPs a second of a layer of the network's width, forward and backward, on this machine now.
template <class Scalar>
double layer_speed(Index width) {
  const fg::Params params;
  const fg::Linear<Scalar> layer(width, 4 * width, params);
  const auto x = fg::full<Scalar, 2>({4096, width}, Scalar(0.5f));
  const auto once = [&] {
    const auto y = layer(x);
    fg::backward(y, y.detach());
    params.zero_grad();
  };
  once();
  const double begin = now_s();
  int runs = 0;
  for (; now_s() - begin < 0.1; ++runs) once();
  return runs * 2 * 2.0 * 4096 * double(width) * 4 * double(width) / (now_s() - begin);  // ∂x isn't asked for: two products
}

template <class Scalar>
Forecast forecast_as(const fg::RunConfig& c) {
  const fg::TextToVideo<Scalar> model(c.model, fg::Params::meta());
  auto& memory = fg::MetaMemory::instance();
  Forecast f;
  f.parameters = double(model.params().parameter_count());
  const auto& v = c.model.video;
  for (const bool still : {true, false}) {
    const Index B = still ? c.train.still_batch : c.train.batch;
    const fg::AnyTensor x = fg::AnyTensor::empty(fg::Dtype::f32, fg::Shape{B, v.channels, still ? v.patch_t : v.frames, v.height, v.width}, fg::kMeta);
    const fg::Tensor<float, 5> x0(x);
    memory.peak_bytes = memory.used_bytes;
    fg::FlopCount::instance() = {};
    auto& kept = fg::KeptMemory::instance();
    kept.start();
    for (const auto& s : model.params().slots()) kept.leave_out(s->value);
    const auto text = model.condition(std::vector<std::string>(std::size_t(B), c.model.words.at(0)));
    const auto l = fg::flow_loss([&](const auto& xt, const auto& t) { return model(xt, t, text); }, x0, std::vector<double>(std::size_t(B), 0.5), x0, {c.model.prediction, {}});
    f.kept.assign(kept.ops.begin(), kept.ops.end());
    kept.stop();
    fg::backward(l.total);
    model.params().zero_grad();
    const double share = still ? c.train.still_share : 1 - c.train.still_share;
    f.step_flops += share * (fg::FlopCount::instance().forward + fg::FlopCount::instance().backward);
    // Masters, moments and average stay beside the weights: 16 bytes each.
    f.memory_bytes = std::max(f.memory_bytes, double(memory.peak_bytes) + 16 * f.parameters);
  }
  std::stable_sort(f.kept.begin(), f.kept.end(), [](const auto& a, const auto& b) { return a.second.bytes > b.second.bytes; });
  f.step_s = 1.5 * f.step_flops / layer_speed<Scalar>(v.hidden);  // norms, attention and the optimizer take about a third
  return f;
}

/// The losses of a run, kept in losses.csv and drawn into losses.svg.
class Losses {
 public:
  Losses(const std::string& folder, Index done) : folder_(folder) {
    std::ifstream f(folder + "/losses.csv");
    std::string line;
    std::getline(f, line);
    while (std::getline(f, line)) {
      double step = 0, loss = 0, norm = 0, seconds = 0;
      int still = 0;
      if (std::sscanf(line.c_str(), "%lf,%d,%lf,%lf,%lf", &step, &still, &loss, &norm, &seconds) != 5 || step > double(done)) break;
      add(step, still != 0, loss);
      lines_ += line + "\n";
    }
  }
  void add(const fg::TrainReport& r) {
    add(double(r.step), r.still, r.loss);
    char line[128];
    std::snprintf(line, sizeof line, "%ld,%d,%.6g,%.6g,%.4g\n", long(r.step), int(r.still), r.loss, r.grad_norm, r.seconds);
    lines_ += line;
  }
  void write() const {
    const std::string all = "step,still,loss,grad_norm,seconds\n" + lines_;
    fg::write_file_atomically(folder_ + "/losses.csv", std::vector<std::uint8_t>(all.begin(), all.end()));
    std::vector<fg::Curve> curves;
    for (const auto* c : {&films_, &stills_})
      if (!c->x.empty()) curves.push_back(*c);
    if (!curves.empty()) fg::write_curve(folder_ + "/losses.svg", curves, {.title = "training loss"});
  }

 private:
  void add(double step, bool still, double loss) {
    auto& c = still ? stills_ : films_;
    c.x.push_back(step), c.y.push_back(loss);
  }
  std::string folder_, lines_;
  fg::Curve films_{"films", {}, {}}, stills_{"stills", {}, {}};
};

/// A few films by the averaged weights, on samples/step_….png and .gif.
template <class Scalar>
void sample_now(const fg::RunConfig& c, const fg::TextToVideo<Scalar>& model, fg::Trainer<Scalar>& trainer, const std::vector<std::string>& prompts, const std::string& folder) {
  const fg::Ema::Scope averaged(trainer.ema());
  std::filesystem::create_directories(folder + "/samples");
  const auto films = decode_latents(c, fg::to(model.sample(prompts, c.sample), fg::kCpu));
  std::vector<fg::SheetRow> rows;
  for (std::size_t i = 0; i < films.size(); ++i) rows.push_back({films[i], prompts[i]});
  char name[64];
  std::snprintf(name, sizeof name, "/samples/step_%07ld", long(trainer.steps_done()));
  fg::write_contact_sheet(folder + name + ".png", rows);
  fg::write_gif(folder + name + ".gif", fg::enlarged(films[0], std::max<Index>(1, 128 / films[0].height)), c.fps);
}

inline std::vector<std::string> preview_prompts(const fg::RunConfig& c, fg::LatentSource& source) {
  if (c.data.source == "moving_shapes") {
    std::vector<std::string> prompts;
    for (const int objects : {1, 2})
      for (const auto& s : fg::moving_shapes::prompts(3, objects, 1)) prompts.push_back(fg::moving_shapes::caption(s));
    return prompts;
  }
  return source.films(0, 4).captions;
}

template <class Scalar>
void train_as(const TrainJob& job) {
  const fg::RunConfig& c = job.config;
  const auto folder = fg::RunFolder::open(job.folder);
  fg::TextToVideo<Scalar> model(c.model, fg::Params(c.train.seed, job.device));
  if (!job.init.empty()) {
    fg::load_params(model.params(), job.init);
    std::printf("weights of %s taken over\n", job.init.c_str());
  }
  fg::Trainer<Scalar> trainer(model, job.source, c.train);
  if (fg::resume(folder, model, trainer)) std::printf("goes on at step %ld\n", long(trainer.steps_done()));
  Losses losses(folder.path(), trainer.steps_done());
  const auto prompts = preview_prompts(c, job.source);
  const auto save = [&] {
    folder.save(fg::checkpoint_of(model, trainer), c.keep);
    losses.write();
  };

  catch_interrupts();
  Progress progress;
  double film_loss = 0, still_loss = 0, step_s = 0;
  bool first = true;
  std::string said;
  while (trainer.steps_done() < c.train.steps && !interrupted) {
    const fg::TrainReport r = trainer.step();
    losses.add(r);
    double& shown = r.still ? still_loss : film_loss;
    shown = shown == 0 ? r.loss : 0.98 * shown + 0.02 * r.loss;
    step_s = step_s == 0 ? r.seconds : 0.95 * step_s + 0.05 * r.seconds;
    if (first) {
      first = false;
      const auto missing = model.params().without_grad();
      for (const auto& name : missing) std::fprintf(stderr, "note: %s got no gradient\n", name.c_str());
    }
    if (const std::string why = trainer.why_no_graphs(); why != said) {  // films are recorded later than stills
      said = why;
      if (!why.empty()) std::fprintf(stderr, "note: launches are queued one after the other: %s\n", why.c_str());
    }
    if (r.skipped) std::fprintf(stderr, "step %ld: the gradient was not finite; the weights stay\n", long(r.step));
    if (progress.due()) {
      char line[256];
      std::snprintf(line, sizeof line, "step %ld of %ld  loss %.4f (stills %.4f)  gradient %.3f  lr %.2e  %.2f s a step  %s  %s left", long(r.step), long(c.train.steps), film_loss,
                    still_loss, r.grad_norm, r.lr, step_s, size_text(peak_memory_bytes()).c_str(), duration(step_s * double(c.train.steps - r.step)).c_str());
      progress.show(line);
    }
    if (r.step % c.save_every == 0) save();
    if (c.sample_every > 0 && r.step % c.sample_every == 0) sample_now(c, model, trainer, prompts, folder.path());
  }
  progress.end();
  save();
  std::printf("%s at step %ld; the run is in %s\n", interrupted ? "stopped" : "done", long(trainer.steps_done()), folder.path().c_str());
}

}  // namespace cli
