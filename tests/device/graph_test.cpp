// Recorded functions on a device: the same bits as op by op, one recording for each shape, refusals by name, and where their memory goes.
#include <gtest/gtest.h>

#include <thread>

#include <framegrad/data/moving_shapes.hpp>
#include <framegrad/models/latent_sources.hpp>
#include <framegrad/models/trainer.hpp>
#include <framegrad/nn/linear.hpp>
#include <framegrad/ops/compare.hpp>
#include <framegrad/ops/dropout.hpp>

namespace {

using namespace fg;

class OnDevice : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << cuda::why_no_device();
  }
  static Index used() { return cuda::memory_use(0).used_bytes; }
  const Device device = cuda_device();
};

std::vector<double> values(const AnyTensor& t) {
  const AnyTensor plain = AnyTensor::empty(Dtype::f64, t.sizes());
  copy_into(plain, t.detach());
  const auto* p = static_cast<const double*>(plain.raw());
  return {p, p + plain.count()};
}
Tensor<float, 2> numbers(Index rows, Index columns, double seed) {
  auto x = empty<float, 2>({rows, columns});
  for (Index i = 0; i < x.count(); ++i) x.data()[i] = float(std::sin(0.7 * double(i) + seed));
  return x;
}

// --- functions

struct In { Tensor<float, 2> x; };
struct Out { Tensor<float, 2> y; };
using Graphed = Recorded<In, Out>;

class Functions : public OnDevice {
 protected:
  Params params{1, device};
  Linear<float> layer{24, 24, params / "layer"};
  int runs = 0;
  Graphed::Function f() {
    return [this](const In& in) {
      ++runs;
      const NoGrad off;
      return Out{layer(silu(layer(in.x))) + in.x};
    };
  }
  /// f's reason for running op by op; its results are right all the same.
  std::string reason(const std::function<void(const Tensor<float, 2>&)>& also) {
    Graphed g([&](const In& in) {
      also(in.x);
      return f()(in);
    }, params);
    const auto x = numbers(5, 24, 1);
    for (int i = 0; i < 2; ++i) EXPECT_EQ(values(g({x}).y), values(f()({to(x, device)}).y));
    EXPECT_EQ(g.recordings(), 0);
    return g.why_not();
  }
};

TEST_F(Functions, EqualBitsForEveryShapeAndCall) {
  Graphed recorded(f(), params);
  for (const double seed : {1.0, 2.0, 3.0})
    for (const Index rows : {5, 33}) {
      const auto x = numbers(rows, 24, seed);
      EXPECT_EQ(values(recorded({seed == 2 ? to(x, device) : x}).y), values(f()({to(x, device)}).y)) << rows << ", " << seed;
    }
  EXPECT_EQ(recorded.recordings(), 2);
  EXPECT_EQ(recorded.why_not(), "");
  EXPECT_EQ(runs, 2 * 2 + 6) << "each shape ran twice, and was replayed";
}

TEST_F(Functions, FurtherShapesRunOpByOp) {
  Graphed recorded(f(), params), off(f(), params, false);
  for (Index rows = 1; rows <= Index(Graphed::kMostRecordings) + 2; ++rows) EXPECT_EQ(values(recorded({numbers(rows, 24, 1)}).y), values(off({numbers(rows, 24, 1)}).y));
  EXPECT_EQ(recorded.recordings(), Index(Graphed::kMostRecordings));
  EXPECT_EQ(off.recordings(), 0);
}

TEST_F(Functions, RefusesWhatWouldNotHappenAgain) {
  const auto expect = [&](const std::string& why, const std::function<void(const Tensor<float, 2>&)>& also) {
    const std::string given = reason(also);
    EXPECT_NE(given.find(why), std::string::npos) << given;
  };
  expect("after sum: a copy to the host can't be recorded", [](const auto& x) { sum(x).item(); });
  expect("after silu: a copy from the host", [&](const auto& x) { silu(x), to(numbers(1, 1, 0), device); });
  expect("a copy from the host", [](const auto& x) { less(x, 0.5); });
  expect("a draw of random numbers", [](const auto& x) { dropout(x, 0.5f, true); });
  expect("waiting for the device", [](const auto&) { cuda::synchronize(); });
  int call = 0;
  expect("what is recorded must do the same each time", [&](const auto& x) {
    if (++call % 2) silu(x);
  });
}

TEST_F(Functions, ANumberIsPartOfTheRecording) {
  double factor = 2;
  Graphed recorded([&](const In& in) { return Out{in.x * factor}; }, params);
  const auto x = numbers(5, 24, 1);
  for (factor = 2; factor < 5; ++factor) EXPECT_EQ(values(recorded({x}).y), values(x * 2.0));
}

TEST_F(Functions, ThreadsRecordForThemselves) {
  Graphed recorded(f(), params);
  const auto x = numbers(5, 24, 1);
  const auto here = values(recorded({x}).y);
  std::vector<double> there;
  std::thread([&] { there = values(recorded({x}).y); }).join();
  EXPECT_EQ(there, here);
  EXPECT_EQ(runs, 4);
  EXPECT_EQ(recorded.recordings(), 1);

  const Pool pool(device);
  { const TrialRun trial(pool); }
  RecordingScope scope(pool);
  const Replay empty = scope.end();
  std::thread([&] { EXPECT_THROW(empty(), DeviceError); }).join();
}

TEST_F(Functions, WhatAnOpThrowsComesOut) {
  Graphed recorded(f(), params);
  EXPECT_THROW(recorded({numbers(5, 7, 1)}), ShapeError);
  EXPECT_EQ(values(recorded({numbers(5, 24, 1)}).y), values(f()({to(numbers(5, 24, 1), device)}).y));
  EXPECT_THROW(recorded({variable(numbers(5, 24, 1))}), GradError);
  Graphed graph([&](const In& in) { return Out{layer(in.x)}; }, params);
  EXPECT_THROW(graph({numbers(5, 24, 1)}), GradError);
}

TEST_F(Functions, FollowsItsParameters) {
  Graphed recorded(f(), params);
  const auto x = numbers(5, 24, 1);
  const auto before = values(recorded({x}).y);
  const auto slot = params.find("layer.weight");
  slot->value = variable(to(numbers(24, 24, 9), device));
  const auto after = values(f()({to(x, device)}).y);
  EXPECT_NE(after, before);
  EXPECT_EQ(values(recorded({x}).y), after);
  copy_into(slot->value, numbers(24, 24, 4));  // in place, as an optimizer does
  EXPECT_EQ(values(recorded({x}).y), values(f()({to(x, device)}).y));
  EXPECT_EQ(recorded.recordings(), 1);
}

TEST_F(Functions, StandsInsideAnother) {
  Graphed inner(f(), params);
  Graphed outer([&](const In& in) { return Out{inner({inner(in).y}).y}; }, params);
  const auto x = numbers(5, 24, 1);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(values(outer({x}).y), values(f()({f()({to(x, device)}).y}).y));
  EXPECT_EQ(outer.why_not(), "");
  EXPECT_EQ(inner.recordings(), 0);
}

TEST_F(Functions, MemoryGoesBack) {
  const Index before = used();
  Tensor<float, 2> kept;
  std::vector<double> seen;
  {
    Graphed recorded(f(), params);
    kept = recorded({numbers(5, 24, 1)}).y;
    recorded({numbers(3000, 24, 1)});
    seen = values(kept);
    EXPECT_GT(used(), before);
  }
  EXPECT_GT(used(), before);
  EXPECT_EQ(values(kept), seen) << "an output lives on";
  kept = {};
  EXPECT_EQ(used(), before);
  reason([](const auto& x) { mean(x).item(); });
  EXPECT_EQ(used(), before) << "also of a recording that failed";
}

TEST_F(Functions, MemoryLetGoOfWhileRecordingStays) {
  Tensor<float, 2> outside = to(numbers(5, 24, 2), device);
  const auto x = numbers(5, 24, 1);
  const auto expected = values(to(x, device) + outside);
  int run = 0;
  Graphed recorded([&](const In& in) {
    const NoGrad off;
    const Out out{in.x + outside};
    if (++run == 2) outside = {};  // the recorded launch still reads it
    return out;
  }, params);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(values(recorded({x}).y), expected);
}

// --- training and sampling

struct Toy {
  TextToVideoConfig model;
  TrainConfig train;
  Toy() {
    model.video.hidden = 32, model.video.depth = 2, model.video.heads = 2, model.video.frames = 4;
    model.video.height = model.video.width = 16;
    model.text.width = 32, model.text.depth = 1, model.text.heads = 2;
    model.words = moving_shapes::vocabulary().words();
    train.batch = 2, train.still_batch = 2, train.stills_first = 1, train.still_share = 0.5, train.lr.warmup_steps = 2, train.lr.peak = 1e-3, train.caption_dropout = 0.4;
  }
  MovingShapesSource source() const { return {model.video.frames, model.video.height, model.video.width, 0, {}, model.video.patch_t}; }
};

void expect_equal_training(const Toy& toy, int steps) {
  auto source = toy.source(), same = toy.source();
  TrainConfig off = toy.train;
  off.graphs = false;
  const Device device = cuda_device();
  TextToVideo<float> a(toy.model, Params(0, device)), b(toy.model, Params(0, device));
  Trainer<float> recorded(a, source, toy.train), plain(b, same, off);
  bool kinds[2] = {};
  for (int i = 0; i < steps; ++i) {
    const TrainReport x = recorded.step(), y = plain.step();
    kinds[x.still] = true;
    EXPECT_EQ(x.loss, y.loss) << "step " << i;
    EXPECT_EQ(x.grad_norm, y.grad_norm) << "step " << i;
    EXPECT_EQ(a.params().without_grad(), b.params().without_grad());
  }
  EXPECT_TRUE(kinds[0] && kinds[1]) << "films and stills";
  EXPECT_EQ(recorded.why_no_graphs(), "");
  for (const auto& s : a.params().slots()) EXPECT_EQ(values(s->value), values(b.params().find(s->name)->value)) << s->name;
}

TEST_F(OnDevice, TrainsWithTheSameBits) { expect_equal_training({}, 4); }
TEST_F(OnDevice, AccumulatesWithTheSameBits) {
  Toy toy;
  toy.train.accumulate = 2, toy.model.video.checkpoint_blocks = true;
  expect_equal_training(toy, 3);
}

TEST_F(OnDevice, AHookIsCalledAtEachStepAndSaysWhyNothingIsRecorded) {
  const Toy toy;
  auto source = toy.source();
  TextToVideo<float> model(toy.model, Params(0, device));
  Trainer<float> trainer(model, source, toy.train);
  EXPECT_EQ(trainer.why_no_graphs(), "");
  const auto slot = model.params().trainable().front();
  int calls = 0;
  static_cast<Leaf&>(*slot->value.node()).hook = [&](const AnyTensor&) { ++calls; };
  trainer.step(), trainer.step();
  EXPECT_EQ(calls, 2);
  EXPECT_NE(trainer.why_no_graphs().find("the gradient of " + slot->name + " has a hook"), std::string::npos) << trainer.why_no_graphs();
  static_cast<Leaf&>(*slot->value.node()).hook = {};
  EXPECT_EQ(trainer.why_no_graphs(), "");
}

TEST_F(OnDevice, SamplesWithTheSameBits) {
  const Toy toy;
  const TextToVideo<float> model(toy.model, Params(0, device));
  const Index before = used();
  for (const double scale : {1.0, 3.0}) {
    SampleOptions o{.steps = 4, .guidance_scale = scale, .solver = FlowSolver::heun};
    std::vector<Tensor<float, 5>> shown;
    SamplerHooks<float, 5> hooks;
    hooks.preview = [&](Index, const Tensor<float, 5>& x0) { shown.push_back(x0); };
    hooks.note = [](const std::string& why) { ADD_FAILURE() << why; };
    const std::vector<std::string> prompts{"a large red circle moves left", "a small blue square spins"};
    const auto recorded = values(model.sample(prompts, o, hooks));
    const auto shown_recorded = std::exchange(shown, {});
    o.graphs = false;
    EXPECT_EQ(recorded, values(model.sample(prompts, o, hooks))) << scale;
    ASSERT_EQ(shown.size(), shown_recorded.size());
    for (std::size_t i = 0; i < shown.size(); ++i) EXPECT_EQ(values(shown_recorded[i]), values(shown[i])) << scale << ", step " << i;
  }
  EXPECT_EQ(used(), before);
}

}  // namespace
