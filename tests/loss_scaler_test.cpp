// Training in half: the scale of the loss, what it rescues, and its way through a checkpoint.
#include <gtest/gtest.h>

#include <framegrad/models/latent_sources.hpp>
#include <framegrad/models/text_to_video_run.hpp>

namespace {

using namespace fg;

constexpr double kInfinite = std::numeric_limits<double>::infinity();

TEST(LossScaler, HalvesAfterAnOverflowAndDoublesAfterGoodSteps) {
  LossScaler s({.initial = 8, .least = 2, .most = 16, .interval = 3});
  EXPECT_EQ(s.scale(), 8);
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(s.update(1.5));
  EXPECT_EQ(s.scale(), 8);
  EXPECT_FALSE(s.update(kInfinite));  // counting begins again
  EXPECT_EQ(s.scale(), 4);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(s.update(0));
  EXPECT_EQ(s.scale(), 8);
  for (int i = 0; i < 6; ++i) s.update(1);
  EXPECT_EQ(s.scale(), 16);  // no further than `most`
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(s.update(std::nan("")));
  EXPECT_EQ(s.scale(), 2);  // nor below `least`
  EXPECT_EQ(s.skipped(), 6);
}

TEST(LossScaler, ContinuesFromItsState) {
  const LossScalerOptions o{.interval = 4};
  LossScaler a(o), b(o);
  for (const double norm : {1.0, kInfinite, 1.0, 1.0}) a.update(norm);
  b.load(a.state());
  for (int i = 0; i < 5; ++i) {
    a.update(1), b.update(1);
    EXPECT_EQ(a.scale(), b.scale());
  }
  EXPECT_EQ(b.skipped(), 1);
  EXPECT_EQ(a.scale(), 65536);  // halved once, doubled once
}

TEST(LossScaler, RefusesWhatIsNoScale) {
  EXPECT_THROW(LossScaler({.initial = 3}), ConfigError);
  EXPECT_THROW(LossScaler({.initial = 4, .least = 8}), ConfigError);
  EXPECT_THROW(LossScaler({.interval = 0}), ConfigError);
  LossScaler s;
  for (const LossScaler::State bad : {LossScaler::State{0, 0, 0}, LossScaler::State{kInfinite, 0, 0}, LossScaler::State{2, -1, 0}}) EXPECT_THROW(s.load(bad), ConfigError);
  EXPECT_EQ(s.scale(), 65536);
}

RunConfig toy() {
  RunConfig c;
  c.model.video.hidden = 32, c.model.video.depth = 1, c.model.video.heads = 2, c.model.video.frames = 4;
  c.model.video.height = c.model.video.width = 16;
  c.model.text.width = 32, c.model.text.depth = 1, c.model.text.heads = 2;
  c.model.words = moving_shapes::vocabulary().words();
  c.train.batch = 2, c.train.still_batch = 4, c.train.stills_first = 100, c.train.lr.warmup_steps = 1, c.train.lr.peak = 1e-2, c.train.clip = 1;
  return c;
}
MovingShapesSource shapes(const RunConfig& c) { return {c.model.video.frames, c.model.video.height, c.model.video.width, c.train.seed}; }

struct Folder {
  std::string path = testing::TempDir() + "framegrad_loss_scaler_" + std::to_string(::getpid());
  Folder() { std::filesystem::remove_all(path); }
  ~Folder() { std::filesystem::remove_all(path); }
};

std::vector<char> bytes_of(const Params& p) {
  std::vector<char> all;
  for (const auto& s : p.slots()) {
    const auto* b = static_cast<const char*>(s->value.raw());
    all.insert(all.end(), b, b + s->value.bytes());
  }
  return all;
}

/// A scale at which the gradients of this model overflow, and two halvings later don't, so that both kinds of step happen.
LossScaler::State too_large() { return {16777216, 0, 0}; }

TEST(Trainer, InHalfLeavesOutOverflowingStepsAndLearns) {
  const RunConfig c = toy();
  auto source = shapes(c);
  TextToVideo<half> model(c.model);
  Trainer<half> trainer(model, source, c.train);
  ASSERT_TRUE(trainer.loss_scaler());
  trainer.loss_scaler()->load(too_large());
  const auto start = bytes_of(model.params());
  auto r = trainer.step();
  const double first = r.loss;
  EXPECT_TRUE(r.skipped);
  EXPECT_EQ(r.loss_scale, 16777216);
  EXPECT_EQ(bytes_of(model.params()), start);
  double last = 0, smallest = 1e30;
  for (int i = 0; i < 60; ++i) {
    r = trainer.step();
    last = r.skipped ? last : r.loss;
    smallest = std::min(smallest, last > 0 ? last : smallest);
  }
  EXPECT_FALSE(r.skipped);
  EXPECT_LT(r.loss_scale, 16777216);
  EXPECT_GE(trainer.loss_scaler()->skipped(), 1);
  EXPECT_LT(smallest, 0.7 * first);
}

TEST(Trainer, InHalfResumesBitForBitWithItsScale) {
  const Folder folder;
  const RunConfig c = toy();
  const auto run = RunFolder::create(folder.path, to_json(c));
  std::vector<char> straight;
  Index skipped = 0;
  {
    auto source = shapes(c);
    TextToVideo<half> model(c.model);
    Trainer<half> trainer(model, source, c.train);
    trainer.loss_scaler()->load(too_large());
    for (int i = 0; i < 3; ++i) trainer.step();
    run.save(checkpoint_of(model, trainer));
    for (int i = 0; i < 3; ++i) trainer.step();
    straight = bytes_of(model.params());
    skipped = trainer.loss_scaler()->skipped();
  }
  auto source = shapes(c);
  TextToVideo<half> model(c.model);
  Trainer<half> trainer(model, source, c.train);
  ASSERT_TRUE(resume(run, model, trainer));
  for (int i = 0; i < 3; ++i) trainer.step();
  EXPECT_EQ(bytes_of(model.params()), straight);
  EXPECT_EQ(trainer.loss_scaler()->skipped(), skipped);
}

TEST(Trainer, InOtherTypesScalesNothing) {
  const RunConfig c = toy();
  auto source = shapes(c);
  TextToVideo<bf16> model(c.model);
  Trainer<bf16> trainer(model, source, c.train);
  EXPECT_FALSE(trainer.loss_scaler());
}

}  // namespace
