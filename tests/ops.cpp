// The driver of all cases of ops. Linked with one file of cases (op_one.cpp), it checks each case of it:
//
//   Value      in double: equal to the reference, and the same from plain, permuted and sliced inputs
//   Gradient   in double: backward against differences of the function, from plain, permuted and sliced inputs
//   Wanted     the gradient of one input alone is the one that it has among all
//   Precision  f32, bf16 and half, forward and backward, against double, on every instruction set the machine has
//   Threads    the same bits with one, two and three threads
//   Refusal    wrong shapes throw ShapeError, and take no more memory than an input in another order
//   Meta       a run without memory gives the same shapes
//   Device     built with kernels for a GPU, or with the same ones on the CPU (cuda/simt): f32, bf16 and half, forward and backward, against
//              double, from plain, permuted and sliced inputs; and the same bits from run to run
//
// Rounding error that is granted in type T, with A = accum_t<T>, K terms in the longest sum and M the largest number in the tensor (of a
// gradient: in all inputs' gradients, since what is left of a sum that cancels says nothing about its terms):
//   forward    ε_T·|y| + ulps·ε_A·√K·M           one rounding of the result, and the sums' errors
//   backward   (ε_T + 2·ε_T)·M + ulps·ε_A·√K·M   what was saved may have been rounded to T as well
//   rounded_terms (a sum of terms with a factor that is rounded to T)   forward ε_T/2·rounded_terms more
//   composed   ulps·ε_T·√K·M                     rounded to T in between
#include <gtest/gtest.h>

#include <framegrad/cpu/features.hpp>

#include "op_run.hpp"

namespace fg::test {
namespace {

bool has_double(const OpCase& c) { return std::find(c.types.begin(), c.types.end(), Dtype::f64) != c.types.end(); }

constexpr double kSumError = 1e-11;  // what rearranged sums in double may differ by

void check_value(const OpCase& c) {
  for (const Shapes& shapes : c.correct) {
    const Run run(c, shapes);
    const std::vector<bool> none(shapes.size(), false);
    const Result plain = run(c.types.front(), Place::plain, none);
    for (const Place place : {Place::permuted, Place::sliced}) {
      const Result r = run(c.types.front(), place, none);
      ASSERT_EQ(r.outputs.size(), plain.outputs.size());
      for (std::size_t k = 0; k < r.outputs.size(); ++k) {
        ASSERT_EQ(r.output_sizes[k], plain.output_sizes[k]) << c.name << run.where() << ", " << name_of(place);
        expect_near(r.outputs[k], plain.outputs[k], 0, kSumError * largest(plain.outputs[k]), text(c.name, run.where(), ", ", name_of(place), " against plain, output ", k));
      }
    }
    if (!c.reference) continue;
    const Tensors expected = c.reference(run.plain_inputs(Dtype::f64, kCpu));
    ASSERT_EQ(expected.size(), plain.outputs.size()) << c.name;
    for (std::size_t k = 0; k < expected.size(); ++k) {
      ASSERT_EQ(expected[k].sizes(), plain.output_sizes[k]) << c.name << run.where() << ": shape of output " << k;
      const Values v = values_of(expected[k]);
      expect_near(plain.outputs[k], v, 0, kSumError * largest(v), text(c.name, run.where(), ", output ", k, " against the reference"));
    }
  }
}

void check_gradient(const OpCase& c) {
  constexpr double kStep = 5e-4, kRelative = 1e-6;  // four points a derivative: their error goes with the step's fourth power
  constexpr std::size_t kMost = 300;                // elements looked at in an input
  for (const Shapes& shapes : c.correct) {
    Run run(c, shapes);
    if (!run.any_wanted()) continue;
    std::vector<Result> by_place;
    for (const Place place : kPlaces) by_place.push_back(run(Dtype::f64, place, run.wanted()));
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      if (!run.wanted()[i] || run.inputs()[i].empty()) continue;
      Values& x = run.inputs()[i];
      const std::size_t every = (x.size() + kMost - 1) / kMost;
      std::vector<std::pair<std::size_t, double>> differences;
      double scale = 0;
      for (std::size_t j = 0; j < x.size(); j += every) {
        const double at = x[j];
        const auto loss = [&](double step) {
          x[j] = at + step * kStep;
          return run.loss();
        };
        const double d = (8 * (loss(1) - loss(-1)) - (loss(2) - loss(-2))) / (12 * kStep);
        x[j] = at;
        differences.emplace_back(j, d);
        scale = std::max(scale, std::abs(d));
      }
      for (const Place place : kPlaces) {
        const Values& g = by_place[std::size_t(place)].gradients[i];
        ASSERT_EQ(g.size(), x.size()) << c.name << run.where() << ", " << name_of(place) << ": no gradient reached input " << i;
        for (const auto& [j, d] : differences)
          ASSERT_NEAR(g[j], d, kRelative * scale + 1e-9) << c.name << run.where() << ", " << name_of(place) << ": gradient of input " << i << " at element " << j
                                                         << ": backward gives " << g[j] << ", differences " << d;
      }
    }
  }
}

void check_wanted(const OpCase& c) {
  for (const Shapes& shapes : c.correct) {
    const Run run(c, shapes);
    if (!run.any_wanted()) continue;
    const Result all = run(Dtype::f64, Place::plain, run.wanted());
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      if (!run.wanted()[i]) continue;
      std::vector<bool> alone(shapes.size(), false);
      alone[i] = true;
      const Result one = run(Dtype::f64, Place::plain, alone);
      for (std::size_t j = 0; j < shapes.size(); ++j)
        ASSERT_TRUE(j == i || one.gradients[j].empty()) << c.name << run.where() << ": input " << j << " got a gradient that nobody wants";
      expect_near(one.gradients[i], all.gradients[i], 0, kSumError * largest(all.gradients[i]), text(c.name, run.where(), ": gradient of input ", i, " alone"));
    }
  }
}

/// The rounding that a type grants (file head): `run` in `dtype` against `exact`.
void expect_rounded(const OpCase& c, Dtype dtype, const Shapes& shapes, const Result& r, const Result& exact, const std::string& where) {
  double eps = 0;
  visit_dtype(dtype, [&]<class T>(T) { eps = double(float(std::numeric_limits<T>::epsilon())); });
  const bool wide = dtype == Dtype::f32 || dtype == Dtype::f64;
  const double accumulated = wide ? eps : double(std::numeric_limits<float>::epsilon()), root = std::sqrt(c.terms(shapes));
  ASSERT_EQ(r.outputs.size(), exact.outputs.size()) << where;
  for (std::size_t k = 0; k < r.outputs.size(); ++k) {
    const double sums = (c.composed ? eps : accumulated) * c.ulps * root * largest(exact.outputs[k]);
    expect_near(r.outputs[k], exact.outputs[k], wide ? 0 : eps, sums + (wide ? 0 : eps / 2 * c.rounded_terms), text(where, ", output ", k));
  }
  double scale = 0;
  for (const Values& g : exact.gradients) scale = std::max(scale, largest(g));
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const double sums = (c.composed ? eps : accumulated) * c.backward_ulps * root * scale;
    expect_near(r.gradients[i], exact.gradients[i], 0, (wide ? 0 : 3 * eps * scale) + sums, text(where, ", gradient of input ", i));
  }
}

void check_precision(const OpCase& c) {
  const cpu::Isa before = cpu::isa();
  for (const Shapes& shapes : c.correct) {
    for (const Dtype dtype : c.types) {
      Run run(c, shapes);
      run.round_to(dtype);
      cpu::set_isa(before);
      const Result exact = run(has_double(c) ? Dtype::f64 : c.types.front(), Place::plain, run.wanted());
      for (int path = 0; path < cpu::kIsas; ++path) {
        if (!cpu::supported(cpu::Isa(path))) continue;
        cpu::set_isa(cpu::Isa(path));
        expect_rounded(c, dtype, shapes, run(dtype, Place::plain, run.wanted()), exact, text(c.name, " in ", name_of(dtype), " on ", cpu::Isa(path), run.where()));
      }
    }
  }
  cpu::set_isa(before);
}

#ifdef FRAMEGRAD_WITH_CUDA
void check_device(const OpCase& c) {
  if (cuda::device_count() == 0) GTEST_SKIP() << cuda::why_no_device();
  const Device device = cuda_device();
  bool any = false;
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16, Dtype::f16}) {
    if (std::find(c.types.begin(), c.types.end(), dtype) == c.types.end()) continue;
    any = true;
    for (const Shapes& shapes : c.correct) {
      Run run(c, shapes);
      run.round_to(dtype);
      const Result exact = run(has_double(c) ? Dtype::f64 : c.types.front(), Place::plain, run.wanted());
      for (const Place place : kPlaces)
        expect_rounded(c, dtype, shapes, run(dtype, place, run.wanted(), device), exact, text(c.name, " in ", name_of(dtype), " on ", device, ", ", name_of(place), run.where()));
      const Result once = run(dtype, Place::plain, run.wanted(), device), again = run(dtype, Place::plain, run.wanted(), device);
      expect_same_bits(again.outputs, once.outputs, text(c.name, " in ", name_of(dtype), run.where(), ": outputs of two runs"));
      expect_same_bits(again.gradients, once.gradients, text(c.name, " in ", name_of(dtype), run.where(), ": gradients of two runs"));
    }
  }
  if (!any) GTEST_SKIP() << c.name << " has no type that GPUs have kernels for";
}
#endif

void check_threads(const OpCase& c) {
  Cases all = c.threads;
  if (all.empty() && !c.timed.empty()) {
    const auto size = [](const Shapes& s) { return std::accumulate(s.begin(), s.end(), Index(0), [](Index n, const Shape& x) { return n + count(x); }); };
    all = {*std::min_element(c.timed.begin(), c.timed.end(), [&](const Shapes& a, const Shapes& b) { return size(a) < size(b); })};
    constexpr Index kMost = Index(16) << 20;
    if (size(all.front()) > kMost) all.clear();
  }
  if (all.empty()) GTEST_SKIP() << c.name << " has neither `threads` nor `timed` shapes of a size to test with";
  const int before = threads();
  for (const Shapes& shapes : all)
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      if (std::find(c.types.begin(), c.types.end(), dtype) == c.types.end()) continue;
      const Run run(c, shapes);
      set_threads(1);
      const Result one = run(dtype, Place::plain, run.wanted());
      for (const int n : {2, 3}) {
        set_threads(n);
        const Result several = run(dtype, Place::plain, run.wanted());
        expect_same_bits(several.outputs, one.outputs, text(c.name, " in ", name_of(dtype), run.where(), ": outputs of 1 and ", n, " threads"));
        expect_same_bits(several.gradients, one.gradients, text(c.name, " in ", name_of(dtype), run.where(), ": gradients of 1 and ", n, " threads"));
      }
    }
  set_threads(before);
}

void check_refusal(const OpCase& c) {
  for (const Shapes& shapes : c.reject) {
    const Run run(c, shapes);
    const Tensors in = run.plain_inputs(c.types.front(), kCpu);
    auto& memory = Allocator::instance();
    memory.reset_peak();
    const Index before = memory.use().used_bytes;
    EXPECT_THROW(c.run(c.types.front(), in), ShapeError) << c.name << run.where();
    EXPECT_EQ(memory.use().used_bytes, before) << c.name << run.where() << ": kept memory";
    Index copies = 0;
    for (const AnyTensor& t : in) copies += t.defined() ? t.bytes() + t.bytes() / 8 + 64 : 0;
    EXPECT_TRUE(c.composed || memory.use().peak_bytes <= before + copies) << c.name << run.where() << ": took memory before it refused";
  }
}

void check_meta(const OpCase& c) {
  for (const Shapes& shapes : c.correct) {
    const Run run(c, shapes);
    const Tensors real = c.run(c.types.front(), run.plain_inputs(c.types.front(), kCpu));
    const Tensors in = run.plain_inputs(c.types.front(), kMeta), meta = c.run(c.types.front(), in);
    ASSERT_EQ(meta.size(), real.size()) << c.name << run.where();
    std::vector<std::pair<AnyTensor, AnyTensor>> seeds;
    for (std::size_t k = 0; k < meta.size(); ++k) {
      EXPECT_TRUE(meta[k].is_meta()) << c.name << run.where() << ", output " << k;
      EXPECT_EQ(meta[k].sizes(), real[k].sizes()) << c.name << run.where() << ", output " << k;
      EXPECT_EQ(meta[k].dtype(), real[k].dtype()) << c.name << run.where() << ", output " << k;
      if (meta[k].requires_grad()) seeds.emplace_back(meta[k], AnyTensor::empty(meta[k].dtype(), meta[k].sizes(), kMeta));
    }
    if (!seeds.empty()) BackwardWalk::run(seeds);
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      if (!run.wanted()[i] || !grad(in[i]).defined()) continue;
      EXPECT_EQ(grad(in[i]).sizes(), shapes[i]) << c.name << run.where() << ", gradient of input " << i;
    }
  }
}

class CaseTest : public ::testing::Test {
 public:
  CaseTest(const OpCase& c, void (*check)(const OpCase&)) : case_(c), check_(check) {}
  void TestBody() override { check_(case_); }

 private:
  const OpCase& case_;
  void (*check_)(const OpCase&);
};

void add_tests(const OpCase& c) {
  const auto add = [&](const char* name, void (*check)(const OpCase&)) {
    ::testing::RegisterTest(c.name.c_str(), name, nullptr, nullptr, __FILE__, __LINE__, [&c, check]() -> ::testing::Test* { return new CaseTest(c, check); });
  };
  add("Value", check_value);
  if (has_double(c)) add("Gradient", check_gradient), add("Wanted", check_wanted);
  add("Precision", check_precision);
  add("Threads", check_threads);
  if (!c.reject.empty()) add("Refusal", check_refusal);
  add("Meta", check_meta);
#ifdef FRAMEGRAD_WITH_CUDA
  add("Device", check_device);
#endif
}

}  // namespace
}  // namespace fg::test

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const auto all = fg::test::cases();
  for (const auto& c : all) fg::test::add_tests(c);
  return RUN_ALL_TESTS();
}
