// The vector types on every instruction set that the machine has: conversions against fg::bf16 and fg::half bit for
// bit, loops of every length, the mathematical functions against double.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <vector>

#include <framegrad/cpu/dispatch.hpp>
#include <framegrad/cpu/math.hpp>
#include <framegrad/ops/formula/gelu.hpp>

namespace {

using namespace fg;

std::vector<cpu::Isa> machine_paths() {
  std::vector<cpu::Isa> paths;
  for (int i = 0; i < cpu::kIsas; ++i)
    if (cpu::supported(cpu::Isa(i))) paths.push_back(cpu::Isa(i));
  return paths;
}

/// Runs each test body once a path.
template <class F>
void on_every_path(F f) {
  const cpu::Isa before = cpu::isa();
  for (const cpu::Isa path : machine_paths()) {
    SCOPED_TRACE(std::string(cpu::name_of(path)));
    cpu::set_isa(path);
    f();
  }
  cpu::set_isa(before);
}

template <class From, class To>
struct Copy {
  template <int B>
  FRAMEGRAD_INLINE static void run(Index n, const From* x, To* y) {
    using V = cpu::Vec<float, B>;
    cpu::each<V>(n, [&](const cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(y, l.load(x)); });
  }
};

std::vector<float> awkward_floats() {
  std::vector<float> x = {0.0f, -0.0f, 65504.0f, 65519.9f, 65520.0f, -1e9f, INFINITY, -INFINITY, NAN, 0x1p-14f, 0x1.ffcp-15f, 0x1p-24f, 0x1p-25f, 0x1.8p-25f, 3e38f, 1e-40f};
  std::mt19937 random(1);
  while (x.size() < 40000) {  // any bits: all exponents, subnormals, infinities, NaN
    x.push_back(std::bit_cast<float>(std::uint32_t(random())));
    x.push_back(std::ldexp(float(int(random() % 4001) - 2000), int(random() % 40) - 34));  // where half has its range
  }
  x.resize(40003);
  return x;
}

template <class T>
void check_conversion() {
  const auto x = awkward_floats();
  std::vector<T> y(x.size());
  cpu::dispatch<Copy<float, T>>(Index(x.size()), x.data(), y.data());
  for (std::size_t i = 0; i < x.size(); ++i) {
    // of a NaN the sign and payload are free
    ASSERT_TRUE(std::isnan(x[i]) ? std::isnan(float(y[i])) : y[i].bits == T(x[i]).bits) << x[i];
  }

  std::vector<T> all(65536);
  std::vector<float> back(65536);
  for (int i = 0; i < 65536; ++i) all[i].bits = std::uint16_t(i);
  cpu::dispatch<Copy<T, float>>(Index(65536), all.data(), back.data());
  for (int i = 0; i < 65536; ++i) {
    const float expected = float(all[i]);
    ASSERT_TRUE(std::isnan(expected) ? std::isnan(back[i]) : std::bit_cast<std::uint32_t>(back[i]) == std::bit_cast<std::uint32_t>(expected)) << i;
  }
}

TEST(CpuSimd, Bf16ConvertsBitForBit) { on_every_path(check_conversion<bf16>); }
TEST(CpuSimd, HalfConvertsBitForBit) { on_every_path(check_conversion<half>); }

template <class A>
struct Loops {
  template <int B>
  FRAMEGRAD_INLINE static void run(Index n, const A* x, A* y, A* sum, A* largest) {
    using V = cpu::Vec<A, B>;
    using L = cpu::Lanes<V>;
    *sum = cpu::sum<V>(n, [&](const L& l) FRAMEGRAD_LAMBDA { return l.load(x) + 1; });
    *largest = cpu::max<V>(n, [&](const L& l) FRAMEGRAD_LAMBDA { return l.load(x); });
    cpu::each<V>(n, [&](const L& l) FRAMEGRAD_LAMBDA {
      const V v = l.load(x);
      l.store(y, select(v < V(0), -v * 3, max(v, V(2)) - 1));
    });
  }
};

template <class A>
void check_loops() {
  for (Index n = 0; n < 200; ++n) {
    std::vector<A> x(n), y(n + 1, A(77));
    A sum = 0, largest = 0, expected_sum = 0, expected_largest = std::numeric_limits<A>::lowest();
    for (Index i = 0; i < n; ++i) {
      x[i] = A((i * 37) % 101) - 120;  // integers: every order of the sum gives the same
      expected_sum += x[i] + 1;
      expected_largest = std::max(expected_largest, x[i]);
    }
    cpu::dispatch<Loops<A>>(n, x.data(), y.data(), &sum, &largest);
    EXPECT_EQ(sum, expected_sum) << n;
    if (n) { EXPECT_EQ(largest, expected_largest) << n; }
    for (Index i = 0; i < n; ++i) ASSERT_EQ(y[i], x[i] < 0 ? -x[i] * 3 : std::max(x[i], A(2)) - 1) << n << " " << i;
    EXPECT_EQ(y[n], A(77)) << "written behind the end, n = " << n;
  }
}

TEST(CpuSimd, LoopsOfEveryLength) {
  on_every_path([] {
    check_loops<float>();
    check_loops<double>();
    check_loops<std::int32_t>();
  });
}

TEST(CpuSimd, MaximumOfNothingIsMinusInfinity) {
  on_every_path([] {
    float sum = 1, largest = 1;
    cpu::dispatch<Loops<float>>(Index(0), static_cast<const float*>(nullptr), static_cast<float*>(nullptr), &sum, &largest);
    EXPECT_EQ(sum, 0.0f);
    EXPECT_EQ(largest, -INFINITY);
  });
}

struct Exp { template <class V> FRAMEGRAD_INLINE static V of(const V& x) { return cpu::exp(x); } static double exact(double x) { return std::exp(x); } };
struct Log { template <class V> FRAMEGRAD_INLINE static V of(const V& x) { return cpu::log(x); } static double exact(double x) { return std::log(x); } };
struct Tanh { template <class V> FRAMEGRAD_INLINE static V of(const V& x) { return cpu::tanh(x); } static double exact(double x) { return std::tanh(x); } };
struct Erf { template <class V> FRAMEGRAD_INLINE static V of(const V& x) { return cpu::erf(x); } static double exact(double x) { return std::erf(x); } };
struct Sin { template <class V> FRAMEGRAD_INLINE static V of(const V& x) { return cpu::sin(x); } static double exact(double x) { return std::sin(x); } };
struct Cos { template <class V> FRAMEGRAD_INLINE static V of(const V& x) { return cpu::cos(x); } static double exact(double x) { return std::cos(x); } };
struct Sqrt { template <class V> FRAMEGRAD_INLINE static V of(const V& x) { return sqrt(x); } static double exact(double x) { return std::sqrt(x); } };
struct Sigmoid { template <class V> FRAMEGRAD_INLINE static V of(const V& x) { return cpu::sigmoid(x); } static double exact(double x) { return 1 / (1 + std::exp(-x)); } };
struct Gelu {
  template <class V> FRAMEGRAD_INLINE static V of(const V& x) { return formula::Gelu::value(x); }
  static double exact(double x) { return 0.5 * x * std::erfc(-x * formula::Gelu::kSqrtHalf); }
};
struct GeluSlope {
  template <class V> FRAMEGRAD_INLINE static V of(const V& x) { return formula::Gelu::slope(x); }
  static double exact(double x) { return 0.5 * std::erfc(-x * formula::Gelu::kSqrtHalf) + x * formula::Gelu::kDensity * std::exp(-0.5 * x * x); }
};

template <class M, class A>
struct Map {
  template <int B>
  FRAMEGRAD_INLINE static void run(Index n, const A* x, A* y) {
    using V = cpu::Vec<A, B>;
    cpu::each<V>(n, [&](const cpu::Lanes<V>& l) FRAMEGRAD_LAMBDA { l.store(y, M::of(l.load(x))); });
  }
};

/// Distance in units of the last place of the exact value's f32, or in `floor` where that unit is smaller.
template <class M>
double worst_ulps(double low, double high, double floor = 0) {
  std::vector<float> x, y;
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> uniform(low, high);
  for (int i = 0; i < 200001; ++i) x.push_back(float(uniform(random)));
  for (int i = 0; i < 2000; ++i) x.push_back(float(std::clamp(std::ldexp(uniform(random) / high, -int(random() % 60)), low, high)));
  y.resize(x.size());
  cpu::dispatch<Map<M, float>>(Index(x.size()), x.data(), y.data());
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double exact = M::exact(x[i]);
    const double unit = std::max({std::ldexp(1.0, std::ilogb(float(exact)) - 23), 0x1p-149, floor});
    worst = std::max(worst, std::abs(y[i] - exact) / unit);
  }
  return worst;
}

TEST(CpuMath, StaysWithinAFewUlp) {
  on_every_path([] {
    EXPECT_LE(worst_ulps<Exp>(-87, 88.5), 2);
    EXPECT_LE(worst_ulps<Exp>(-103, -87), 2);  // subnormal results
    EXPECT_LE(worst_ulps<Log>(1e-44, 1e-37), 2);
    EXPECT_LE(worst_ulps<Log>(0.5, 2), 2);
    EXPECT_LE(worst_ulps<Log>(1e-3, 3e38), 2);
    EXPECT_LE(worst_ulps<Tanh>(-12, 12), 3);
    EXPECT_LE(worst_ulps<Erf>(-5, 5), 3);
    EXPECT_LE(worst_ulps<Sigmoid>(-80, 80), 3);
    EXPECT_LE(worst_ulps<Gelu>(-10, 10, 0x1p-23), 3);
    EXPECT_LE(worst_ulps<GeluSlope>(-10, 10, 0x1p-23), 3);
    EXPECT_LE(worst_ulps<Sqrt>(0, 1e30), 0.5);
    EXPECT_LE(worst_ulps<Sin>(-20, 20, 0x1p-24), 2);
    EXPECT_LE(worst_ulps<Cos>(-20, 20, 0x1p-24), 2);
    EXPECT_LE(worst_ulps<Sin>(-1e5, 1e5, 0x1p-24), 2);  // both sides of the reduction's limit
    EXPECT_LE(worst_ulps<Cos>(-8000, 8000, 0x1p-24), 2);
  });
}

template <class M>
void check_special() {
  const float inf = INFINITY;
  const std::vector<float> x = {0.0f, -0.0f, inf, -inf, NAN, 1e-45f, -1e-45f, 1e-39f, 1.0f, -1.0f, 100.0f, -100.0f, -200.0f, 200.0f, 3e38f, -3e38f, 1e5f};
  std::vector<float> y(x.size());
  cpu::dispatch<Map<M, float>>(Index(x.size()), x.data(), y.data());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float expected = float(M::exact(double(x[i])));
    if (std::isnan(expected)) EXPECT_TRUE(std::isnan(y[i])) << x[i] << " gave " << y[i];
    else if (std::isinf(expected)) EXPECT_EQ(y[i], expected) << x[i];
    else EXPECT_NEAR(y[i], expected, std::abs(expected) * 3e-7 + 1e-37) << x[i];
    if (expected == 0) { EXPECT_EQ(std::signbit(y[i]), std::signbit(expected)) << x[i]; }
  }
}

TEST(CpuMath, SpecialValues) {
  on_every_path([] {
    check_special<Exp>();
    check_special<Log>();
    check_special<Tanh>();
    check_special<Erf>();
    check_special<Sin>();
    check_special<Cos>();
    check_special<Sigmoid>();
    check_special<Gelu>();
  });
}

TEST(CpuMath, DoubleIsTheStandardLibrarys) {
  on_every_path([] {
    std::vector<double> x(37), y(37);
    for (int i = 0; i < 37; ++i) x[i] = i * 0.31 - 5;
    cpu::dispatch<Map<Exp, double>>(Index(37), x.data(), y.data());
    for (int i = 0; i < 37; ++i) EXPECT_EQ(y[i], std::exp(x[i]));
    cpu::dispatch<Map<Erf, double>>(Index(37), x.data(), y.data());
    for (int i = 0; i < 37; ++i) EXPECT_EQ(y[i], std::erf(x[i]));
  });
}

TEST(CpuFeatures, AForcedPathIsCheckedByName) {
  const auto asked = [](const char* word) {
    setenv("FRAMEGRAD_CPU", word, 1);
    try {
      const auto isa = std::string(cpu::name_of(cpu::detail::asked_isa()));
      unsetenv("FRAMEGRAD_CPU");
      return isa;
    } catch (const ConfigError& e) {
      unsetenv("FRAMEGRAD_CPU");
      return std::string(e.what());
    }
  };
  EXPECT_EQ(asked("portable"), "portable");
  EXPECT_EQ(asked(""), cpu::name_of(cpu::detail::machine_isa()));
  const auto unknown = asked("sse9");
  EXPECT_NE(unknown.find("sse9"), std::string::npos);
  EXPECT_NE(unknown.find(cpu::name_of(cpu::detail::machine_isa())), std::string::npos);
  for (int i = 0; i < cpu::kIsas; ++i) {
    const auto name = std::string(cpu::name_of(cpu::Isa(i)));
    const auto answer = asked(name.c_str());
    if (cpu::supported(cpu::Isa(i))) EXPECT_EQ(answer, name);
    else EXPECT_NE(answer.find("this machine"), std::string::npos);
  }
}

}  // namespace
