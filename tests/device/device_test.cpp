// Whole models on a device: built with the kernels that run on the CPU (cuda/simt), or with those of a GPU.
//
// STDiT's numbers of the reference code (specs H.2) through the kernels; training and sampling against the CPU's; a run that changes its device; and
// what is refused, with its reason.
#include <gtest/gtest.h>

#include <framegrad/data/moving_shapes.hpp>
#include <framegrad/diffusion/iddpm.hpp>
#include <framegrad/models/latent_sources.hpp>
#include <framegrad/models/text_to_video_run.hpp>
#include <framegrad/optim/clip.hpp>

#include "../tiny_stdit.hpp"

namespace {

using namespace fg;
using test::filled, test::prefix_mask, test::tiny;

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

// --- STDiT against the reference's numbers

struct TinyOnDevice : OnDevice {
  Params params;
  std::unique_ptr<Stdit<float>> model;
  Tensor<float, 1> t = tensor<float, 1>({2}, {7, 900});
  Tensor<std::int64_t, 2> mask = prefix_mask({5, 9}, 12);
  void SetUp() override {
    OnDevice::SetUp();
    if (IsSkipped()) return;
    model = std::make_unique<Stdit<float>>(tiny(), params);
    test::fill_params(params);
    params.to(device);
  }
  template <int R>
  Tensor<float, R> there(std::string_view key, const Index (&sizes)[R]) const { return to(filled<float, R>(key, sizes), device); }
};

TEST_F(TinyOnDevice, OutputIsTheCpus) {
  const NoGrad off;
  const auto x = there<5>("input.x", {2, 4, 4, 8, 8});
  const auto y = there<4>("input.y", {2, 1, 12, 32});
  const auto out = to((*model)(x, t, y, mask), kCpu);
  params.to(kCpu);
  EXPECT_LE(greatest_difference(out, (*model)(to(x, kCpu), t, to(y, kCpu), mask)), 2e-5);
}

TEST_F(TinyOnDevice, LossAndGradients) {
  const auto x0 = there<5>("input.x0", {2, 4, 4, 8, 8}), noise = there<5>("input.eps", {2, 4, 4, 8, 8});
  const auto y = there<4>("input.y", {2, 1, 12, 32});
  const auto l = iddpm_loss(linear_schedule(), [&](const Tensor<float, 5>& xt, const Tensor<float, 1>& time) { return (*model)(xt, time, y, mask); }, x0, {7, 900}, noise);
  const auto mse = to(l.mse.detach(), kCpu), vb = to(l.vb.detach(), kCpu);
  EXPECT_NEAR(mse(0), 0.673752, 2e-5);
  EXPECT_NEAR(mse(1), 0.767670, 2e-5);
  EXPECT_NEAR(vb(0), 0.099373, 2e-5);
  EXPECT_NEAR(vb(1), 0.010169, 2e-5);
  backward(l.total);
  EXPECT_EQ(params.without_grad(), std::vector<std::string>{});
  EXPECT_NEAR(grad_norm(params), 2.340862, 1e-5 * 2.340862);
  const std::pair<const char*, double> expected[] = {{"x_embedder.proj.weight", 1.330478e-1},        {"blocks.0.attn.qkv.weight", 1.012462e-1},
                                                     {"blocks.0.attn_temp.qkv.weight", 1.535622e-1}, {"blocks.1.cross_attn.kv_linear.weight", 9.018414e-2},
                                                     {"blocks.1.scale_shift_table", 9.057480e-2},    {"final_layer.linear.weight", 2.009727}};
  for (const auto& [name, norm] : expected) EXPECT_NEAR(global_norm({grad(params.find(name)->value)}), norm, 1e-5 * norm) << name;
}

// --- training and sampling

RunConfig toy() {
  RunConfig c;
  c.dtype = "float";
  c.model.video.hidden = 32, c.model.video.depth = 2, c.model.video.heads = 2, c.model.video.frames = 4;
  c.model.video.height = c.model.video.width = 16;
  c.model.text.width = 32, c.model.text.depth = 1, c.model.text.heads = 2;
  c.model.words = moving_shapes::vocabulary().words();
  c.train.batch = 3, c.train.still_batch = 5, c.train.stills_first = 1, c.train.still_share = 0.4, c.train.lr.warmup_steps = 2, c.train.lr.peak = 1e-3, c.train.clip = 1;
  return c;
}
MovingShapesSource shapes(const RunConfig& c) { return {c.model.video.frames, c.model.video.height, c.model.video.width, c.train.seed, 0.5}; }

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
