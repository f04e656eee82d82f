// framegrad train — trains a text-to-video model, from nothing or from where a run stands.
#include <framegrad/models/latent_file.hpp>
#include <framegrad/models/latent_sources.hpp>

#include "commands.hpp"
#include "model.hpp"
#include "terminal.hpp"

namespace cli {
namespace {

struct Options {
  std::string config, run, init, device = "cpu", graphs = "on";
  std::vector<std::string> set;
  bool forecast_only = false, ops = false;
};

/// "train.lr=1e-3" into the JSON; the value is JSON, or a word.
void apply_setting(nlohmann::json& j, const std::string& setting) {
  const auto eq = setting.find('=');
  fg::check<fg::ConfigError>(eq != std::string::npos && eq > 0, "train", "--set ", setting, ": section.key=value is needed");
  nlohmann::json* at = &j;
  std::string key = setting.substr(0, eq);
  for (std::size_t dot; (dot = key.find('.')) != std::string::npos; key = key.substr(dot + 1)) at = &(*at)[key.substr(0, dot)];
  auto value = nlohmann::json::parse(setting.substr(eq + 1), nullptr, false);
  (*at)[key] = value.is_discarded() ? nlohmann::json(setting.substr(eq + 1)) : value;
}

/// Source of latents, and what the configuration leaves to the data: words, extents, scale.
std::unique_ptr<fg::LatentSource> open_source(fg::RunConfig& c) {
  auto& v = c.model.video;
  if (c.data.source == "moving_shapes") {
    fg::check<fg::ConfigError>(c.data.codec == "pixels" && v.channels == 3, "train", "moving_shapes are pixels: data.codec \"pixels\" and 3 channels are needed");
    if (c.model.words.empty()) c.model.words = fg::moving_shapes::vocabulary().words();
    return std::make_unique<fg::MovingShapesSource>(v.frames, v.height, v.width, c.train.seed, fg::moving_shapes::SceneOptions{c.data.two_objects, c.data.spins}, v.patch_t);
  }
  fg::check<fg::ConfigError>(c.data.source == "latents", "train", "data.source is \"", c.data.source, "\"; there are moving_shapes and latents (made by `framegrad encode`)");
  const auto file = fg::load_latents(c.data.path);
  const auto [N, C, T, H, W] = file.latents.shape();
  v.channels = C, v.frames = T, v.height = H, v.width = W;
  c.data.codec = file.codec;
  c.model.latent_scale = file.scale;
  if (c.model.words.empty()) c.model.words = fg::Vocabulary::of_captions(file.captions).words();
  Index longest = 1;
  for (const auto& s : file.captions) longest = std::max(longest, Index(fg::split_words(s).size()));
  c.model.text.tokens = std::max(c.model.text.tokens, longest);
  const fg::NoGrad off;
  return std::make_unique<fg::StoredSource>(file.latents * (1 / file.scale), file.captions, c.train.seed, v.patch_t);
}

void print_kept(const Forecast& f) {
  std::printf("kept for backward, in a batch of films:\n");
  Index all = 0;
  for (const auto& [name, op] : f.kept) {
    if (op.bytes == 0) continue;
    std::printf("  %-24s %5ld calls  %s\n", name.c_str(), long(op.calls), size_text(double(op.bytes)).c_str());
    all += op.bytes;
  }
  std::printf("  %-24s              %s\n", "in all", size_text(double(all)).c_str());
}

void run_train(const Options& o) {
  const fg::Device device = fg::cuda::device_named(o.device);
  const bool exists = std::filesystem::exists(o.run + "/config.json");
  fg::check<fg::ConfigError>(!exists || o.config.empty(), "train", o.run, " is a run already and has its own configuration: leave --config out to go on with it");
  nlohmann::json j = exists ? fg::read_json(o.run + "/config.json") : o.config.empty() ? nlohmann::json::object() : fg::read_json(o.config);
  for (const auto& s : o.set) apply_setting(j, s);
  fg::RunConfig c = fg::run_config_from_json(j);
  c.train.graphs = c.sample.graphs = o.graphs == "on";
  const auto source = open_source(c);
  const Forecast f = forecast(c);
  std::printf("%.2f M parameters in %s; a step takes about %.1f GFLOP and %.2f s, all %ld of them %s; memory about %s\n", f.parameters / 1e6, c.dtype.c_str(), f.step_flops / 1e9,
              f.step_s, long(c.train.steps), duration(f.step_s * double(c.train.steps)).c_str(), size_text(f.memory_bytes).c_str());
  if (o.ops) print_kept(f);
  if (o.forecast_only) return;
  if (!exists) fg::RunFolder::create(o.run, fg::to_json(c));
  else if (!o.set.empty()) fg::write_json(o.run + "/config.json", fg::to_json(c));
  train({c, *source, o.run, o.init, device});
}

}  // namespace

void add_train(CLI::App& app) {
  auto* c = app.add_subcommand("train", "trains a model; started again on the same run folder, it goes on where it stopped");
  auto o = std::make_shared<Options>();
  c->add_option("--run", o->run, "folder for configuration, checkpoints, losses and samples")->required();
  c->add_option("--config", o->config, "JSON configuration of a new run; without it, moving shapes with the defaults");
  c->add_option("--set", o->set, "one setting, e.g. train.steps=5000 or model.hidden=192; may be given several times");
  c->add_option("--init", o->init, "safetensors file of weights to start from");
  c->add_option("--device", o->device, "cpu, cuda, or cuda:<number>; a run may change it from start to start")->capture_default_str();
  c->add_option("--graphs", o->graphs, "on a GPU: on records a step's launches once and queues them together; off queues one after the other")->capture_default_str()->check(CLI::IsMember({"on", "off"}));
  c->add_flag("--forecast", o->forecast_only, "print memory, work and time that a training takes, and stop");
  c->add_flag("--ops", o->ops, "with --forecast: what each op keeps for backward")->needs("--forecast");
  c->footer("Ctrl-C saves and leaves. Every setting with its default stands in the run folder's config.json.");
  c->callback([o] { run_train(*o); });
}

}  // namespace cli
