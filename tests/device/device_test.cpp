// Whole models on a device: built with the kernels that run on the CPU (cuda/simt), or with those of a GPU.
//
// STDiT's numbers of the reference code (specs H.2) and TAEF2's through the kernels; training and sampling against the CPU's; a run that changes its device; and
// what is refused, with its reason.
#include <gtest/gtest.h>

#include "../recompute_from.hpp"
#include "../stdit_golden.hpp"
#include "../taef2_golden.hpp"
#include "../toy_run.hpp"

namespace {

using namespace fg;
using test::filled, test::shapes, test::tiny;

std::vector<double> values(const AnyTensor& t) {
  const AnyTensor plain = AnyTensor::empty(Dtype::f64, t.sizes());
  copy_into(plain, t.detach());
  const auto* p = static_cast<const double*>(plain.raw());
  return {p, p + plain.count()};
}
double greatest_difference(const AnyTensor& a, const AnyTensor& b) {
  const auto x = values(a), y = values(b);
  EXPECT_EQ(x.size(), y.size());
  double d = 0;
  for (std::size_t i = 0; i < x.size(); ++i) d = std::max(d, std::abs(x[i] - y[i]));
  return d;
}

class OnDevice : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << cuda::why_no_device();
  }
  const Device device = cuda_device();
};

// --- moving and making

TEST_F(OnDevice, TensorsGoOverAndBack) {
  const auto x = filled<float, 3>("x", {3, 5, 7});
  const AnyTensor view = x.AnyTensor::slice(1, 1, 4).transpose(0, 2);
  EXPECT_EQ(values(to(view, device)), values(view));
  const AnyTensor there = to(x, device);
  EXPECT_EQ(there.device(), device);
  EXPECT_EQ(values(there.slice(1, 1, 4).transpose(0, 2)), values(view));  // a view there is a view here
  const AnyTensor low = AnyTensor::empty(Dtype::bf16, x.sizes(), device);
  copy_into(low, x);
  EXPECT_EQ(values(low), values(converted(x, Dtype::bf16)));
  EXPECT_EQ(values(full<float, 2>({2, 3}, 1.5f, device)), std::vector<double>(6, 1.5));
  EXPECT_EQ((to(scalar(2.5f), device).item()), 2.5f);
}

TEST_F(OnDevice, RefusesWithAReason) {
  const auto here = filled<float, 1>("x", {4});
  const auto there = to(here, device);
  EXPECT_THROW(here + there, DeviceError);
  EXPECT_THROW(there(0), DeviceError);
  EXPECT_THROW(to(variable(here) * 2.0, device), GradError);
  EXPECT_THROW(cuda::device_named("cuda:7"), DeviceError);
  EXPECT_THROW(cuda::device_named("gpu"), ConfigError);
  const Index before = cuda::memory_use(0).used_bytes;
  cuda::limit_memory(before + (1 << 20), 0);
  try {
    empty<float, 1>({1 << 20}, device);
    ADD_FAILURE() << "4 MiB fitted into 1";
  } catch (const OutOfMemory& e) {
    EXPECT_NE(std::string(e.what()).find("4194304 bytes asked on cuda:0"), std::string::npos) << e.what();
  }
  cuda::limit_memory(0, 0);
  EXPECT_EQ(cuda::memory_use(0).used_bytes, before);
}

TEST_F(OnDevice, ParametersStartEqualAndMove) {
  const Params here(5), there(5, device);
  const Stdit<float> a(tiny(), here), b(tiny(), there);
  for (const auto& s : here.slots()) EXPECT_EQ(values(s->value), values(there.find(s->name)->value)) << s->name;
  there.to(kCpu);
  for (const auto& s : there.slots()) EXPECT_EQ(s->value.device(), kCpu);
  EXPECT_EQ(there.trainable().size(), here.trainable().size());
}

// --- the references' numbers

struct StditOnDevice : OnDevice {
  std::unique_ptr<test::TinyStdit> tiny_stdit;
  void SetUp() override {
    OnDevice::SetUp();
    if (!IsSkipped()) tiny_stdit = std::make_unique<test::TinyStdit>(device);
  }
};
TEST_F(StditOnDevice, Embeddings) { test::expect_reference_embeddings(*tiny_stdit); }
TEST_F(StditOnDevice, Output) { test::expect_reference_output(*tiny_stdit); }
TEST_F(StditOnDevice, Loss) { test::expect_reference_loss(*tiny_stdit); }
TEST_F(StditOnDevice, GradientsAndAStepOfAdamW) {
  const RecomputeFrom all(0);  // kept or computed again, they are the same
  test::expect_reference_training(*tiny_stdit);
}

struct Taef2OnDevice : test::Taef2Data {
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << cuda::why_no_device();
    test::Taef2Data::SetUp();
  }
};
TEST_F(Taef2OnDevice, LossAndGradients) { test::expect_taef2_loss_and_gradients<float>(*expected, cuda_device(), 1e-4); }

// --- training and sampling

RunConfig toy() { return test::toy(1e-3); }

TEST_F(OnDevice, TrainsAsTheCpuDoes) {
  const RunConfig c = toy();
  auto source = shapes(c), same = shapes(c);
  TextToVideo<float> here(c.model), there(c.model, Params(0, device));
  Trainer<float> a(here, source, c.train), b(there, same, c.train);
  for (int i = 0; i < 4; ++i) {
    const TrainReport x = a.step(), y = b.step();
    EXPECT_NEAR(y.loss, x.loss, 1e-5 * x.loss) << "step " << i;
    EXPECT_NEAR(y.grad_norm, x.grad_norm, 1e-4 * x.grad_norm) << "step " << i;
  }
  // Adam divides by √v: where a gradient is near 0, its sign decides, and rounding may turn it. So weights are compared in the mean.
  double moved = 0, apart = 0;
  const TextToVideo<float> start(c.model);
  for (const auto& s : here.params().trainable()) {
    const auto x = values(s->value), y = values(there.params().find(s->name)->value), z = values(start.params().find(s->name)->value);
    for (std::size_t i = 0; i < x.size(); ++i) moved += std::abs(x[i] - z[i]), apart += std::abs(x[i] - y[i]);
  }
  EXPECT_LT(apart, 0.02 * moved);
}

TEST_F(OnDevice, TrainsInBf16) {
  RunConfig c = toy();
  auto source = shapes(c), same = shapes(c);
  TextToVideo<bf16> here(c.model), there(c.model, Params(0, device));
  Trainer<bf16> a(here, source, c.train), b(there, same, c.train);
  for (int i = 0; i < 3; ++i) {
    const TrainReport x = a.step(), y = b.step();
    EXPECT_NEAR(y.loss, x.loss, 0.02 * x.loss) << "step " << i;
  }
}

TEST_F(OnDevice, ARunChangesItsDevice) {
  const std::string path = testing::TempDir() + "framegrad_device_" + std::to_string(::getpid());
  std::filesystem::remove_all(path);
  const RunConfig c = toy();
  const auto folder = RunFolder::create(path, to_json(c));
  double uninterrupted = 0;
  {
    auto source = shapes(c);
    TextToVideo<float> model(c.model, Params(c.train.seed, device));
    Trainer<float> trainer(model, source, c.train);
    for (int i = 0; i < 2; ++i) trainer.step();
    folder.save(checkpoint_of(model, trainer), 2);
    for (int i = 0; i < 2; ++i) uninterrupted = trainer.step().loss;
  }
  for (const Device where : {device, kCpu}) {
    auto source = shapes(c);
    TextToVideo<float> model(c.model, Params(c.train.seed, where));
    Trainer<float> trainer(model, source, c.train);
    ASSERT_TRUE(resume(folder, model, trainer));
    trainer.step();
    const double loss = trainer.step().loss;
    if (where == device) EXPECT_EQ(loss, uninterrupted);  // bit for bit where it was saved
    else EXPECT_NEAR(loss, uninterrupted, 1e-4 * uninterrupted);
  }
  std::filesystem::remove_all(path);
}

TEST_F(OnDevice, SamplesAsTheCpuDoes) {
  const RunConfig c = toy();
  const TextToVideo<float> here(c.model), there(c.model, Params(0, device));
  const SampleOptions o{.steps = 3, .guidance_scale = 3};
  const std::vector<std::string> prompts{"a large red circle moves left", "a small blue square spins"};
  EXPECT_LE(greatest_difference(there.sample(prompts, o), here.sample(prompts, o)), 1e-4);
}

}  // namespace
