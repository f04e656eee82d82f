// AdamW, the gradients' norm and the moving average with all tensors on a GPU, or on the same kernels run on the CPU: against what the CPU's code
// computes from the same numbers, and refusals of tensors on several devices.
#include <gtest/gtest.h>

#include <framegrad/optim/clip.hpp>
#include <framegrad/optim/ema.hpp>

namespace {

using namespace fg;

class OptimDevice : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << cuda::why_no_device();
  }
};

/// Odd sizes, one of several chunks, one of a single number.
template <class T>
Params model(Device device) {
  const Params p(3, device);
  p.tensor<T, 2>("a.weight", {37, 501}, init::normal(0.5));
  p.tensor<T, 1>("a.bias", {7}, init::normal(0.5));
  p.tensor<T, 3>("b.weight", {3, 5, 11}, init::normal(0.5));
  p.tensor<T, 1>("one", {1}, init::normal(0.5));
  return p;
}

void set_grads(const Params& p, int step) {
  int which = 0;
  for (const auto& slot : p.trainable()) {
    const AnyTensor g = AnyTensor::empty(Dtype::f32, slot->value.sizes());
    for (Index i = 0; i < g.count(); ++i) static_cast<float*>(g.raw())[i] = float(std::sin(0.37 * double(i) + 1.3 * which + 0.9 * step) * 0.2);
    static_cast<Leaf&>(*slot->value.node()).grad = to(g, slot->value.device());
    ++which;
  }
}

std::vector<double> numbers(const AnyTensor& t) {
  const AnyTensor wide = AnyTensor::empty(Dtype::f64, t.sizes());
  copy_into(wide, t.detach());
  const auto* p = static_cast<const double*>(wide.raw());
  return {p, p + wide.count()};
}

/// Equal but for roundings: a step's quotient may differ in its last bits, and moves a weight by the rate at most.
void expect_close(const AnyTensor& got, const AnyTensor& expected, double rates, const std::string& what) {
  const auto a = numbers(got), b = numbers(expected);
  ASSERT_EQ(a.size(), b.size()) << what;
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-6 * (std::abs(b[i]) + rates)) << what << ", element " << i;
}

template <class T>
void expect_steps_like_the_cpu() {
  const AdamWOptions options{.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.05, .groups = {{[](const std::string& n) { return n.ends_with("bias"); }, 2.0, 0.0}}};
  const Params on_cpu = model<T>(kCpu), on_device = model<T>(cuda_device());
  AdamW cpu(on_cpu, options), device(on_device, options);
  Ema cpu_average(on_cpu, {.decay = 0.9}), device_average(on_device, {.decay = 0.9});
  double rates = 0;
  for (int k = 0; k < 5; ++k) {
    set_grads(on_cpu, k), set_grads(on_device, k);
    if (k == 2) {  // a tensor without a gradient is left alone
      static_cast<Leaf&>(*on_cpu.trainable()[1]->value.node()).grad = {};
      static_cast<Leaf&>(*on_device.trainable()[1]->value.node()).grad = {};
    }
    const double norm = grad_norm(on_cpu);
    EXPECT_NEAR(grad_norm(on_device), norm, 1e-13 * norm);  // sums in f64, in another order
    cpu.step(0.01, 0.75), device.step(0.01, 0.75);
    cpu_average.update(&cpu), device_average.update(&device);
    rates += 0.02;
  }
  const auto a = on_device.trainable(), b = on_cpu.trainable();
  for (std::size_t i = 0; i < a.size(); ++i) {
    expect_close(device.weight(*a[i]), cpu.weight(*b[i]), rates, "weight " + a[i]->name);
    EXPECT_EQ(numbers(a[i]->value), numbers(converted(to(device.weight(*a[i]), kCpu), dtype_of<T>))) << a[i]->name << " is its master, rounded";
    expect_close(device_average.averages()[i].tensor, cpu_average.averages()[i].tensor, rates, "average of " + a[i]->name);
  }
  // What one device saved the other continues.
  AdamW resumed(on_cpu, options);
  resumed.load(device.state());
  const NamedTensors kept = resumed.state(), given = device.state();
  for (std::size_t i = 0; i < kept.size(); ++i) EXPECT_EQ(numbers(kept[i].tensor), numbers(given[i].tensor)) << kept[i].name;
}

TEST_F(OptimDevice, FloatFollowsTheCpu) { expect_steps_like_the_cpu<float>(); }
TEST_F(OptimDevice, Bf16FollowsTheCpu) { expect_steps_like_the_cpu<bf16>(); }
TEST_F(OptimDevice, HalfFollowsTheCpu) { expect_steps_like_the_cpu<half>(); }

TEST_F(OptimDevice, EveryStepHasTheSameBits) {
  std::vector<std::vector<double>> runs;
  for (int run = 0; run < 2; ++run) {
    const Params p = model<float>(cuda_device());
    AdamW adamw(p);
    for (int k = 0; k < 3; ++k) {
      set_grads(p, k);
      adamw.step(0.01, clip_factor(grad_norm(p), 0.1));
    }
    runs.push_back(numbers(p.trainable()[0]->value));
  }
  EXPECT_EQ(runs[0], runs[1]);
}

TEST_F(OptimDevice, NoGradientOverflowsTheNorm) {
  const Params p = model<float>(cuda_device());
  set_grads(p, 0);
  const AnyTensor& g = grad(p.trainable()[2]->value);
  const AnyTensor bad = to(g, kCpu);
  static_cast<float*>(bad.raw())[100] = 3e38f;
  copy_into(g, bad);
  EXPECT_NEAR(grad_norm(p), 3e38, 1e32);
  static_cast<float*>(bad.raw())[100] = std::nanf("");
  copy_into(g, bad);
  EXPECT_TRUE(std::isnan(grad_norm(p)));
}

TEST_F(OptimDevice, SeveralDevicesAreRefused) {
  const Params p = model<float>(kCpu);
  AdamW adamw(p);
  Ema average(p);
  set_grads(p, 0);
  static_cast<Leaf&>(*p.trainable()[1]->value.node()).grad = to(grad(p.trainable()[1]->value), cuda_device());
  EXPECT_THROW(grad_norm(p), DeviceError);
  EXPECT_THROW(adamw.step(0.01), DeviceError);
  p.to(cuda_device());
  set_grads(p, 0);
  try {
    adamw.step(0.01);
    ADD_FAILURE() << "moments on the CPU were taken";
  } catch (const DeviceError& e) {
    EXPECT_NE(std::string(e.what()).find("a.weight is on cuda:0, its moments on cpu"), std::string::npos) << e.what();
  }
  EXPECT_THROW(average.update(), DeviceError);
}

TEST_F(OptimDevice, DoubleIsRefused) {
  const Params p(3, cuda_device());
  p.tensor<double, 1>("w", {4}, init::normal(1));
  AdamW adamw(p);
  static_cast<Leaf&>(*p.trainable()[0]->value.node()).grad = zeros_like(p.trainable()[0]->value);
  EXPECT_THROW(adamw.step(0.01), MissingKernel);
  EXPECT_THROW(grad_norm(p), MissingKernel);
}

}  // namespace
