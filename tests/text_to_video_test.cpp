// The text-to-video pipeline: configuration, training, saving, resuming and sampling, at toy size.
#include <gtest/gtest.h>

#include <framegrad/models/latent_file.hpp>

#include "toy_run.hpp"

namespace {

using namespace fg;

using test::shapes;

RunConfig toy() { return test::toy(1e-2); }

std::vector<char> bytes_of(const Params& p) {
  std::vector<char> all;
  for (const auto& s : p.slots()) {
    const auto* b = static_cast<const char*>(s->value.raw());
    all.insert(all.end(), b, b + s->value.bytes());
  }
  return all;
}
template <class Scalar>
std::vector<char> trained(Index steps, int thread_count) {
  set_threads(thread_count);
  const RunConfig c = toy();
  auto source = shapes(c);
  TextToVideo<Scalar> model(c.model);
  Trainer<Scalar> trainer(model, source, c.train);
  for (Index i = 0; i < steps; ++i) trainer.step();
  set_threads(2);
  return bytes_of(model.params());
}

struct Folder {
  std::string path = testing::TempDir() + "framegrad_text_to_video_" + std::to_string(::getpid());
  Folder() { std::filesystem::remove_all(path); }
  ~Folder() { std::filesystem::remove_all(path); }
};

TEST(RunConfig, JsonAndBack) {
  RunConfig c = toy();
  c.model.shift = 3.5, c.train.adamw.beta2 = 0.95, c.sample.solver = FlowSolver::heun, c.model.prediction = FlowPrediction::velocity;
  const auto j = to_json(c);
  EXPECT_EQ(to_json(run_config_from_json(j)), j);
  EXPECT_EQ(to_json(run_config_from_json(nlohmann::json::object())), to_json(RunConfig{}));  // every key has a default
}

TEST(RunConfig, RefusesByName) {
  const auto message = [](const char* json) {
    try {
      run_config_from_json(nlohmann::json::parse(json));
    } catch (const ConfigError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_NE(message(R"({"train":{"learning_rate":1}})").find("train: unknown key \"learning_rate\"; there are steps"), std::string::npos);
  EXPECT_NE(message(R"({"model":{"hidden":"wide"}})").find("\"hidden\" is \"wide\""), std::string::npos);
  EXPECT_NE(message(R"({"version":99})").find("version 99"), std::string::npos);
  EXPECT_NE(message(R"({"dtype":"int8"})").find("bf16 or float"), std::string::npos);
  EXPECT_NE(message(R"({"model":[]})").find("an object is needed"), std::string::npos);
}

TEST(Trainer, LearnsAndReachesEveryTensor) {
  RunConfig c = toy();
  c.train.edges = 0;  // a network this small can't draw any
  auto source = shapes(c);
  TextToVideo<float> model(c.model);
  Trainer<float> trainer(model, source, c.train);
  const auto batch = source.films(1000, 8);
  Tensor<float, 5> noise(AnyTensor::empty(Dtype::f32, batch.x0.sizes()));
  philox_fill_normal(1, 0, 0, noise.data(), noise.count());
  const std::vector<double> t(8, 0.6);
  const auto measured = [&] {
    const NoGrad off;
    return trainer.loss(batch, t, noise).total.item();
  };
  const float before = measured();
  for (int i = 0; i < 60; ++i) EXPECT_FALSE(trainer.step().skipped);
  EXPECT_LT(measured(), 0.5f * before);
  EXPECT_TRUE(model.params().without_grad().empty());
}

TEST(Trainer, SameBitsForAnyThreads) {
  EXPECT_EQ(trained<float>(4, 1), trained<float>(4, 2));
  EXPECT_EQ(trained<bf16>(3, 1), trained<bf16>(3, 2));
}

TEST(Trainer, ResumesBitForBit) {
  const Folder folder;
  const RunConfig c = toy();
  const auto run = RunFolder::create(folder.path, to_json(c));
  {
    auto source = shapes(c);
    TextToVideo<float> model(c.model);
    Trainer<float> trainer(model, source, c.train);
    for (int i = 0; i < 3; ++i) trainer.step();
    run.save(checkpoint_of(model, trainer));
  }
  auto source = shapes(c);
  TextToVideo<float> model(read_run_config(folder.path).model);
  Trainer<float> trainer(model, source, c.train);
  ASSERT_TRUE(resume(run, model, trainer));
  EXPECT_EQ(trainer.steps_done(), 3);
  for (int i = 0; i < 3; ++i) trainer.step();
  EXPECT_EQ(bytes_of(model.params()), trained<float>(6, 2));
}

TEST(TextToVideo, SamplesTheSameFromARunAndItsExport) {
  const Folder folder, released;
  const std::string out = folder.path + "_released";
  const RunConfig c = toy();
  const auto run = RunFolder::create(folder.path, to_json(c));
  auto source = shapes(c);
  TextToVideo<float> model(c.model);
  Trainer<float> trainer(model, source, c.train);
  for (int i = 0; i < 2; ++i) trainer.step();
  run.save(checkpoint_of(model, trainer));

  const std::vector<std::string> prompts = {"a large red circle moves left", "a small blue square spins while a large green cross moves up"};
  SampleOptions o;
  o.steps = 2, o.seed = 5;
  const auto loaded = load_run<float>(folder.path);
  const auto x = loaded.model->sample(prompts, o);
  EXPECT_EQ(x.sizes(), (Shape{2, 3, 4, 16, 16}));
  export_run(loaded, out);
  const auto y = load_run<float>(out).model->sample(prompts, o);
  EXPECT_EQ(std::memcmp(x.data(), y.data(), std::size_t(x.bytes())), 0);
  {
    const Ema::Scope averaged(trainer.ema());  // what load_run takes is the average
    const auto z = model.sample(prompts, o);
    EXPECT_EQ(std::memcmp(x.data(), z.data(), std::size_t(x.bytes())), 0);
  }
  std::filesystem::remove_all(out);
  EXPECT_THROW(loaded.model->sample({"a large red dog moves left"}, o), ConfigError);
  EXPECT_THROW(load_run<float>(folder.path + "/nowhere"), FileError);
}

TEST(TextToVideo, CancelAndProgress) {
  const RunConfig c = toy();
  const TextToVideo<float> model(c.model);
  SampleOptions o;
  o.steps = 5;
  Index seen = 0;
  SamplerHooks<float, 5> hooks;
  hooks.progress = [&](Index done, Index) { seen = done; };
  hooks.cancel = [&] { return seen == 2; };
  EXPECT_THROW(model.sample({"a large red circle moves left"}, o, hooks), Cancelled);
  EXPECT_EQ(seen, 2);
}

TEST(LatentFile, RoundTripAndRefusals) {
  const Folder folder;
  std::filesystem::create_directories(folder.path);
  const std::string path = folder.path + "/latents.safetensors";
  LatentFile f{full<float>({2, 3, 4, 2, 2}, 0.5f), {"one", "two \"quoted\""}, "taef2", 1.25};
  save_latents(path, f);
  const auto back = load_latents(path);
  EXPECT_EQ(back.captions, f.captions);
  EXPECT_EQ(back.codec, "taef2");
  EXPECT_EQ(back.scale, 1.25);
  EXPECT_EQ(back.latents.sizes(), f.latents.sizes());
  save_safetensors(path, {{"latents", f.latents}}, {{"captions", "[1, 2]"}, {"codec", "x"}, {"scale", "1"}});
  EXPECT_THROW(load_latents(path), FileError);
  save_safetensors(path, {{"latents", f.latents}}, {});
  EXPECT_THROW(load_latents(path), FileError);
}

TEST(StoredSource, EachEpochShowsEveryClipOnce) {
  auto latents = empty<float, 5>({3, 1, 2, 1, 1});
  for (Index i = 0; i < 6; ++i) latents.data()[i] = float(i / 2);
  StoredSource source(latents, {"a", "b", "c"}, 7);
  for (Index epoch = 0; epoch < 4; ++epoch) {
    auto captions = source.films(3 * epoch, 3).captions;
    std::sort(captions.begin(), captions.end());
    EXPECT_EQ(captions, (std::vector<std::string>{"a", "b", "c"}));
  }
  const auto batch = source.stills(4, 2);
  EXPECT_EQ(batch.x0.sizes(), (Shape{2, 1, 1, 1, 1}));
  EXPECT_EQ(batch.x0(0, 0, 0, 0, 0), float(batch.captions[0][0] - 'a'));
}

}  // namespace
