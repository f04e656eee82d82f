// The configuration of a text-to-video run as JSON: what `framegrad train` reads, writes into the run folder, and samples by.
//
// Every key has a default; an unknown key is refused with the ones there are. "version" counts changes of the format.
#pragma once

#include <nlohmann/json.hpp>

#include <framegrad/models/trainer.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// What a run learns from.
struct DataConfig {
  std::string source = "moving_shapes";   // or "folder": videos with captions; or "latents": a file made by `framegrad encode`
  std::string path;                       // of the folder, or of the file
  std::string captions;                   // tsv, csv or jsonl; default: captions.* in the folder
  std::string codec = "pixels";           // or "taef2": latents of 1/8 of the height and width
  Index interval = 0;                     // frames between samples of a clip; 0: spread over the clip
  double two_objects = 0.5;               // share of moving-shapes scenes with two
  double spins = 0;                       // share of moving shapes that are chosen among those that spin
};

struct RunConfig {
  static constexpr int kVersion = 1;
  std::string dtype = "bf16";             // of the weights in use: "bf16" (with f32 masters) or "float"
  TextToVideoConfig model;
  DataConfig data;
  TrainConfig train;
  SampleOptions sample;
  double fps = 8;
  Index save_every = 500, sample_every = 2000, keep = 2;
};

namespace detail {

/// Reads the keys of one object, and knows which were there: so that what nobody asked for can be refused.
class JsonReader {
 public:
  JsonReader(const nlohmann::json& j, std::string where) : json_(j), where_(std::move(where)) {
    check<ConfigError>(j.is_object(), where_, "an object is needed");
  }
  template <class V>
  void get(const char* key, V& value) {
    keys_.push_back(key);
    const auto it = json_.find(key);
    if (it == json_.end()) return;
    try {
      it->get_to(value);
    } catch (const nlohmann::json::exception&) {
      throw ConfigError(text(where_, ": \"", key, "\" is ", it->dump(), ", another kind of value is needed"));
    }
    if constexpr (std::is_same_v<V, double>) check<ConfigError>(std::isfinite(value), where_, "\"", key, "\" is not finite");
  }
  template <class F>
  void section(const char* key, F&& read) {
    keys_.push_back(key);
    const auto it = json_.find(key);
    if (it == json_.end()) return;
    JsonReader inner(*it, where_.empty() ? key : where_ + "." + key);
    read(inner);
    inner.finish();
  }
  void finish() const {
    for (const auto& [key, value] : json_.items()) {
      if (std::find(keys_.begin(), keys_.end(), key) != keys_.end()) continue;
      std::string known;
      for (const auto& k : keys_) known += (known.empty() ? "" : ", ") + k;
      throw ConfigError(text(where_.empty() ? "config" : where_, ": unknown key \"", key, "\"; there are ", known));
    }
  }

 private:
  const nlohmann::json& json_;
  std::string where_;
  std::vector<std::string> keys_;
};

/// The same fields for reading and writing: visit(section, key, field).
class JsonWriter {
 public:
  explicit JsonWriter(nlohmann::json& j) : json_(j) {}
  template <class V> void get(const char* key, V& value) { json_[key] = value; }
  template <class F>
  void section(const char* key, F&& write) {
    JsonWriter inner(json_[key] = nlohmann::json::object());
    write(inner);
  }

 private:
  nlohmann::json& json_;
};

/// A field whose JSON value is another than its C++ one: out(field) → V, in(V) → field.
template <class V, class Io, class Out, class In>
void mapped(Io& io, const char* key, Out&& out, In&& in) {
  V v = out();
  io.get(key, v);
  in(v);
}

template <class Io>
void visit_run_config(Io& io, RunConfig& c) {
  io.get("dtype", c.dtype);
  io.get("fps", c.fps), io.get("save_every", c.save_every), io.get("sample_every", c.sample_every), io.get("keep", c.keep);
  io.section("model", [&](auto& s) {
    StditConfig& v = c.model.video;
    s.get("channels", v.channels), s.get("hidden", v.hidden), s.get("depth", v.depth), s.get("heads", v.heads), s.get("mlp_ratio", v.mlp_ratio);
    mapped<std::array<Index, 3>>(s, "patch", [&] { return std::array<Index, 3>{v.patch_t, v.patch_h, v.patch_w}; },
                                 [&](const auto& p) { v.patch_t = p[0], v.patch_h = p[1], v.patch_w = p[2]; });
    s.get("frames", v.frames), s.get("height", v.height), s.get("width", v.width);
    s.get("space_scale", v.space_scale), s.get("time_scale", v.time_scale), s.get("checkpoint_blocks", v.checkpoint_blocks);
    mapped<std::string>(s, "prediction", [&] { return std::string(name_of(c.model.prediction)); }, [&](const std::string& p) {
      check<ConfigError>(p == "x0" || p == "velocity", "model", "prediction is \"", p, "\", x0 or velocity is needed");
      c.model.prediction = p == "x0" ? FlowPrediction::x0 : FlowPrediction::velocity;
    });
    s.get("shift", c.model.shift), s.get("latent_scale", c.model.latent_scale);
    s.get("words", c.model.words);
  });
  io.section("text", [&](auto& s) {
    s.get("tokens", c.model.text.tokens), s.get("width", c.model.text.width), s.get("depth", c.model.text.depth), s.get("heads", c.model.text.heads);
  });
  io.section("data", [&](auto& s) {
    s.get("source", c.data.source), s.get("path", c.data.path), s.get("captions", c.data.captions), s.get("codec", c.data.codec);
    s.get("interval", c.data.interval), s.get("two_objects", c.data.two_objects), s.get("spins", c.data.spins);
  });
  io.section("train", [&](auto& s) {
    TrainConfig& t = c.train;
    s.get("steps", t.steps), s.get("batch", t.batch), s.get("still_batch", t.still_batch), s.get("stills_first", t.stills_first), s.get("still_share", t.still_share);
    s.get("still_shift", t.still_shift), s.get("edges", t.edges), s.get("detail_weights", t.detail_weights), s.get("accumulate", t.accumulate), s.get("caption_dropout", t.caption_dropout), s.get("clip", t.clip), s.get("ema", t.ema);
    s.get("seed", t.seed), s.get("lr", t.lr.peak), s.get("lr_floor", t.lr.floor), s.get("warmup_steps", t.lr.warmup_steps), s.get("decay_steps", t.lr.decay_steps);
    mapped<std::string>(s, "schedule", [&] { return std::string(name_of(t.lr.curve)); }, [&](const std::string& n) { t.lr.curve = lr_curve(n); });
    s.get("beta1", t.adamw.beta1), s.get("beta2", t.adamw.beta2), s.get("eps", t.adamw.eps), s.get("weight_decay", t.adamw.weight_decay);
  });
  io.section("sample", [&](auto& s) {
    s.get("steps", c.sample.steps), s.get("guidance_scale", c.sample.guidance_scale), s.get("seed", c.sample.seed);
    mapped<std::string>(s, "solver", [&] { return std::string(name_of(c.sample.solver)); }, [&](const std::string& n) {
      check<ConfigError>(n == "euler" || n == "heun", "sample", "solver is \"", n, "\", euler or heun is needed");
      c.sample.solver = n == "euler" ? FlowSolver::euler : FlowSolver::heun;
    });
  });
}

}  // namespace detail

/// Throws ConfigError for a newer version, an unknown key or a value of the wrong kind.
inline RunConfig run_config_from_json(const nlohmann::json& j) {
  RunConfig c;
  int version = RunConfig::kVersion;
  detail::JsonReader reader(j, "");
  reader.get("version", version);
  check<ConfigError>(version == RunConfig::kVersion, "config", "version ", version, ", this program reads version ", RunConfig::kVersion);
  detail::visit_run_config(reader, c);
  reader.finish();
  check<ConfigError>(c.dtype == "bf16" || c.dtype == "float", "config", "dtype is \"", c.dtype, "\", bf16 or float is needed");
  check<ConfigError>(c.save_every > 0 && c.fps > 0, "config", "save_every ", c.save_every, ", fps ", c.fps, ": each must be positive");
  return c;
}

inline nlohmann::json to_json(RunConfig c) {
  nlohmann::json j = {{"version", RunConfig::kVersion}};
  detail::JsonWriter writer(j);
  detail::visit_run_config(writer, c);
  return j;
}

}  // namespace fg::inline FRAMEGRAD_ABI
