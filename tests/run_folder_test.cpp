// Run folders: a resumed run continues bit for bit, incomplete checkpoints are ignored, a kill while saving loses nothing.
#include <gtest/gtest.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <fstream>

#include <framegrad/io/run_folder.hpp>
#include <framegrad/optim/clip.hpp>
#include <framegrad/optim/ema.hpp>

namespace {

using namespace fg;
namespace fs = std::filesystem;
using nlohmann::json;

class Run : public testing::Test {
 protected:
  void TearDown() override { fs::remove_all(folder); }
  std::vector<std::string> hidden() const {
    std::vector<std::string> names;
    for (const auto& e : fs::directory_iterator(folder))
      if (e.path().filename().string()[0] == '.') names.push_back(e.path().filename().string());
    return names;
  }
  const std::string folder = (fs::temp_directory_path() / ("framegrad_run_" + std::to_string(::getpid()))).string();
};

Checkpoint small(Index step, int content = 0) {
  const auto x = AnyTensor::empty(Dtype::u8, {Index(1) << 20});
  std::memset(x.raw(), content, std::size_t(x.bytes()));
  return {.step = step, .model = {{"x", x}}, .ema = {{"x", x}}, .optimizer = {{"m.x", x}}, .state = {{"content", content}}};
}

Params model(std::uint64_t seed) {
  const Params p(seed);
  p.tensor<float, 2>("w", {33, 70}, init::normal(1));
  p.tensor<bf16, 1>("b", {19}, init::normal(1));
  p.buffer<float, 1>("table", {4}, init::normal(1));
  return p;
}

void train(const Params& p, AdamW& adamw, Ema& ema, Index from, Index to) {
  for (Index k = from; k < to; ++k) {
    for (const auto& s : p.trainable()) {
      AnyTensor g = AnyTensor::empty(Dtype::f32, s->value.sizes());
      philox_fill_normal(hash_name(s->name), 0, std::uint32_t(k), static_cast<float*>(g.raw()), g.count());
      static_cast<Leaf&>(*s->value.node()).grad = g;
    }
    adamw.step(0.01, clip_factor(grad_norm(p), 1.0));
    ema.update(&adamw);
  }
}

void expect_same(const NamedTensors& a, const NamedTensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_EQ(std::memcmp(a[i].tensor.raw(), b[i].tensor.raw(), std::size_t(a[i].tensor.bytes())), 0) << a[i].name;
}

TEST_F(Run, ResumesBitForBit) {
  const Params p = model(1);
  AdamW adamw(p, {.weight_decay = 0.01});
  Ema ema(p, {.decay = 0.9, .warmup = true});
  const auto run = RunFolder::create(folder, {{"version", 1}, {"hidden", 128}});
  train(p, adamw, ema, 0, 5);
  run.save({.step = 5, .model = named_tensors(p), .ema = ema.state(), .optimizer = adamw.state(), .state = {{"seed", 7}, {"position", 160}, {"loss", 0.1}}});
  train(p, adamw, ema, 5, 11);

  const auto again = RunFolder::open(folder);
  EXPECT_EQ(again.config().at("hidden"), 128);
  ASSERT_EQ(again.latest(), 5);
  const auto saved = again.load(5);
  EXPECT_EQ(saved.state, (json{{"seed", 7}, {"position", 160}, {"loss", 0.1}}));
  const Params q = model(2);
  AdamW adamw_q(q, {.weight_decay = 0.01});
  Ema ema_q(q, {.decay = 0.9, .warmup = true});
  load_params(q, saved.model);
  adamw_q.load(saved.optimizer->tensors(), saved.optimizer->path());
  ema_q.load(saved.ema->tensors(), saved.ema->path());
  train(q, adamw_q, ema_q, saved.step, 11);
  expect_same(named_tensors(p), named_tensors(q));
  expect_same(adamw.state(), adamw_q.state());
  expect_same(ema.state(), ema_q.state());
}

TEST_F(Run, KeepsTheLatestAndReplacesASameStep) {
  const auto run = RunFolder::create(folder, {{"version", 1}});
  EXPECT_FALSE(run.latest());
  for (const Index step : {1, 20, 300, 4000}) run.save(small(step), 2);
  EXPECT_EQ(run.steps(), (std::vector<Index>{300, 4000}));
  run.save(small(4000, 9), 2);
  EXPECT_EQ(run.steps(), (std::vector<Index>{300, 4000}));
  EXPECT_EQ(run.load(4000).state.at("content"), 9);
  run.save(small(12345678), 0);
  EXPECT_EQ(run.steps(), (std::vector<Index>{300, 4000, 12345678}));
  EXPECT_TRUE(fs::exists(folder + "/step_0000300/ema.safetensors"));
  run.save({.step = 12345679, .model = small(0).model}, 0);
  EXPECT_FALSE(run.load(12345679).ema.has_value());
  run.save(small(2), 2);  // a step before the kept ones is what was asked for: it stays
  EXPECT_EQ(run.steps().front(), 2);
  EXPECT_TRUE(hidden().empty());
}

TEST_F(Run, IncompleteCheckpointsAreIgnored) {
  const auto run = RunFolder::create(folder, {{"version", 1}});
  for (Index step = 1; step <= 6; ++step) run.save(small(step), 0);
  fs::resize_file(run.folder_of(2) + "/model.safetensors", 100);
  fs::remove(run.folder_of(3) + "/optimizer.safetensors");
  fs::remove(run.folder_of(4) + "/state.json");
  std::ofstream(run.folder_of(5) + "/state.json") << "{\"version\": 1, \"step\": 5, \"files\": []";
  std::ofstream(run.folder_of(6) + "/state.json") << "{\"version\": 1, \"step\": \"6\", \"files\": []}";
  fs::create_directories(folder + "/step_7");
  fs::create_directories(folder + "/step_00000x8");
  EXPECT_EQ(run.steps(), std::vector<Index>{1});
  EXPECT_THROW(run.load(2), FileError);
  EXPECT_THROW(run.load(99), FileError);
}

TEST_F(Run, RefusesWhatIsNoRun) {
  EXPECT_THROW(RunFolder::open(folder), FileError);
  EXPECT_THROW(RunFolder::create(folder, json::object()), ConfigError);
  RunFolder::create(folder, {{"version", 1}});
  EXPECT_THROW(RunFolder::create(folder, {{"version", 1}}), FileError);
  std::ofstream(folder + "/config.json") << "{\"version\": \"one\"}";
  EXPECT_THROW(RunFolder::open(folder), ConfigError);
  std::ofstream(folder + "/config.json") << "{\"version\": 1, \"version\": 2}";
  EXPECT_THROW(RunFolder::open(folder), FileError);
}

TEST_F(Run, AFullDiskLeavesWhatWasThere) {
  const auto run = RunFolder::create(folder, {{"version", 1}});
  run.save(small(1, 1), 1);
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1 << 19, 1 << 19};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    for (const Index step : {1, 2}) {
      try {
        run.save(small(step, 2), 1);
        ::_exit(1);
      } catch (const FileError&) {
      }
    }
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(run.steps(), std::vector<Index>{1});
  EXPECT_EQ(run.load(1).state.at("content"), 1);
  EXPECT_TRUE(hidden().empty());
}

TEST_F(Run, AKillWhileSavingLosesNothing) {
  const auto run = RunFolder::create(folder, {{"version", 1}});
  run.save(small(0, 0), 2);
  Index before = 0;
  int left_over = 0;
  for (int round = 0; round < 12; ++round) {
    const pid_t child = ::fork();
    if (child == 0)
      for (Index step = before;; ++step) run.save(small(step, int(step % 200)), 2);  // the first replaces one that is there
    ::usleep(useconds_t(2000 + 7300 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ASSERT_TRUE(run.latest().has_value());
    ASSERT_GE(*run.latest(), before);
    before = *run.latest();
    const auto saved = run.load(before);
    ASSERT_EQ(saved.state.at("content"), before % 200);
    for (const Safetensors* f : {&saved.model, &*saved.ema, &*saved.optimizer}) {
      const AnyTensor x = f->tensors()[0].tensor;
      const auto* p = static_cast<const std::uint8_t*>(x.raw());
      ASSERT_TRUE(std::all_of(p, p + x.count(), [&](std::uint8_t b) { return b == before % 200; }));
    }
    left_over += !hidden().empty();
  }
  EXPECT_GT(left_over, 0);  // some kill came in the middle of a save
  run.save(small(before + 1), 2);
  EXPECT_TRUE(hidden().empty());
}

}  // namespace
