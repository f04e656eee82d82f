// Random numbers: Philox against its published vectors, the generator against values that PyTorch gave for the same seeds.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <thread>

#include <framegrad/core/philox.hpp>
#include <framegrad/core/random.hpp>
#include <framegrad/core/random_tensor.hpp>

namespace {

using fg::Index;

template <class T, class Fill>
std::vector<T> drawn(Index n, Fill fill) {
  std::vector<T> v(std::size_t(n), T{});
  fill(v.data(), n);
  return v;
}

TEST(Philox, MatchesThePublishedVectors) {  // Random123, kat_vectors
  using Block = fg::Philox::Block;
  EXPECT_EQ(fg::Philox(0)({0, 0, 0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(fg::Philox(~0ull)({~0u, ~0u, ~0u, ~0u}), (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(fg::Philox(0x299f31d0a4093822)({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, AFillEqualsItsValuesOneByOneFromAnyStart) {
  std::vector<float> normal(37), uniform(37);
  for (const std::uint64_t first : {0ull, 1ull, 6ull, 1ull << 40}) {
    fg::philox_fill_normal(5, 6, 7, normal.data(), 37, first);
    fg::philox_fill_uniform(5, 6, 7, uniform.data(), 37, first);
    for (std::size_t i = 0; i < 37; ++i) {
      EXPECT_EQ(normal[i], fg::philox_normal(5, 6, 7, first + i));
      EXPECT_EQ(uniform[i], fg::philox_uniform(5, 6, 7, first + i));
    }
  }
}

TEST(Philox, NormalsAndUniformsHaveTheirMoments) {
  constexpr Index n = 1 << 20;
  const auto z = drawn<float>(n, [](float* p, Index m) { fg::philox_fill_normal(1, 2, 3, p, m); });
  const auto u = drawn<float>(n, [](float* p, Index m) { fg::philox_fill_uniform(1, 2, 4, p, m); });
  double z1 = 0, z2 = 0, z4 = 0, u1 = 0, zz = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double a = z[i];
    z1 += a, z2 += a * a, z4 += a * a * a * a, u1 += u[i], zz += i ? a * z[i - 1] : 0;
  }
  const double five_sigma = 5 / std::sqrt(double(n));  // of a mean of n numbers with variance 1
  EXPECT_NEAR(z1 / n, 0, five_sigma);
  EXPECT_NEAR(z2 / n, 1, five_sigma * std::sqrt(2.0));
  EXPECT_NEAR(z4 / n, 3, five_sigma * std::sqrt(96.0));
  EXPECT_NEAR(zz / n, 0, five_sigma);
  EXPECT_NEAR(u1 / n, 0.5, five_sigma / std::sqrt(12.0));
  EXPECT_LT(*std::max_element(u.begin(), u.end()), 1.0f);
}

TEST(Philox, TheExtremeBitsGiveFiniteNormals) {
  for (const std::uint32_t a : {0u, ~0u})
    for (const std::uint32_t b : {0u, ~0u}) {
      const auto z = fg::normal_from_bits(a, b);
      EXPECT_TRUE(std::isfinite(z.first) && std::isfinite(z.second));
    }
}

TEST(Philox, SeedStreamAndStepEachChangeTheNumbers) {
  std::set<std::uint32_t> bits;
  for (std::uint32_t k = 0; k < 3; ++k)
    bits.insert({fg::Philox(1 + k).bits(1, 1, 1), fg::Philox(1).bits(2 + k, 1, 1), fg::Philox(1).bits(1, 2 + k, 1)});
  EXPECT_EQ(bits.size(), 9u);
}

TEST(Generator, UniformsAreThoseOfPyTorch) {
  fg::manual_seed(42);
  EXPECT_EQ(drawn<float>(5, [](float* p, Index n) { fg::fill_rand(p, n); }),
            (std::vector<float>{0.8822692632675171f, 0.9150039553642273f, 0.38286375999450684f, 0.9593056440353394f, 0.3904482126235962f}));
  fg::manual_seed(42);
  EXPECT_EQ(drawn<double>(3, [](double* p, Index n) { fg::fill_rand(p, n); }),
            (std::vector<double>{0.05815448596142969, 0.06291016742457756, 0.12358607277440903}));
  fg::manual_seed(42);
  const auto half_precision = drawn<fg::bf16>(5, [](fg::bf16* p, Index n) { fg::fill_rand(p, n); });
  const float expected[] = {0.8828125f, 0.9140625f, 0.3828125f, 0.9609375f, 0.390625f};
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(float(half_precision[i]), expected[i]);
  fg::manual_seed((std::uint64_t(1) << 63) - 1);
  EXPECT_EQ(fg::default_generator().uniform<float>(), 0.9937993884086609f);
}

TEST(Generator, AUniformNeverRoundsUpToOne) {
  fg::Generator g(7);
  for (int i = 0; i < 100000; ++i) ASSERT_LT(float(g.uniform<fg::bf16>()), 1.0f);
}

TEST(Generator, FewNormalsAreThoseOfPyTorchAndKeepTheSecondOfAPair) {
  fg::Generator g(42);
  const std::vector<float> first = {0.33669036626815796f, 0.12880940735340118f, 0.23446236550807953f, 0.23033303022384644f, -1.1228563785552979f};
  const std::vector<float> second = {-0.18632829189300537f, 2.2082014083862305f, -0.637997031211853f};
  for (const auto& expected : {first, second}) {
    const auto z = drawn<float>(Index(expected.size()), [&](float* p, Index n) { fg::fill_randn(p, n, g); });
    // Computed in f64 and rounded once: a last bit of the f64 may tip the rounding, no more.
    for (std::size_t i = 0; i < z.size(); ++i) EXPECT_FLOAT_EQ(z[i], expected[i]);
  }
}

TEST(Generator, ManyNormalsAreThoseOfPyTorchWithTheTailDrawnAgain) {
  const std::vector<double> expected = {1.9269152879714966,  1.4872840642929077,  0.9007171988487244,  -2.1055209636688232, -0.7581311464309692,
                                        1.078317642211914,   0.8008005619049072,  1.680620551109314,   0.3558599054813385,  -0.6866229772567749,
                                        -0.4933563470840454, 0.2414877861738205,  -0.2316243201494217, 0.041759490966796875, -0.2515752911567688,
                                        0.859858512878418,   -0.3097267746925354, -0.3957104980945587, 0.8034093379974365,  -0.6215953826904297};
  fg::manual_seed(42);
  const auto z = drawn<float>(20, [](float* p, Index n) { fg::fill_randn(p, n); });
  for (std::size_t i = 0; i < 20; ++i) EXPECT_NEAR(z[i], expected[i], 4 * 0x1p-24 * 4) << i;  // four ulp of r, which is below 4
  fg::manual_seed(42);
  const auto d = drawn<double>(20, [](double* p, Index n) { fg::fill_randn(p, n); });
  EXPECT_NEAR(d[0], 0.2995562877502637, 1e-15);
  EXPECT_NEAR(d[1], 0.24237779080894106, 1e-15);
  EXPECT_NEAR(d[16], 0.2494118796915765, 1e-15);
  EXPECT_NEAR(d[19], -0.33113931395169954, 1e-15);
}

TEST(Generator, NarrowNormalsAreThoseOfPyTorch) {
  fg::manual_seed(42);
  const auto b = drawn<fg::bf16>(20, [](fg::bf16* p, Index n) { fg::fill_randn(p, n); });
  EXPECT_EQ(float(b[0]), 1.9296875f);
  EXPECT_EQ(float(b[1]), 1.484375f);
  EXPECT_EQ(float(b[16]), -0.2314453125f);
  EXPECT_EQ(float(b[19]), 0.859375f);
  fg::manual_seed(42);
  const auto h = drawn<fg::half>(20, [](fg::half* p, Index n) { fg::fill_randn(p, n); });
  EXPECT_EQ(float(h[0]), 1.9267578125f);
  EXPECT_EQ(float(h[17]), 0.041748046875f);
  EXPECT_EQ(float(h[19]), 0.85986328125f);
}

TEST(Generator, IntegersAndPermutationsAreThoseOfPyTorch) {
  fg::Generator g(42);
  using Ints = std::vector<std::int64_t>;
  EXPECT_EQ(drawn<std::int64_t>(6, [&](auto* p, Index n) { fg::fill_randint(p, n, 0, 1000, g); }), (Ints{542, 67, 876, 414, 26, 335}));
  EXPECT_EQ(drawn<std::int64_t>(3, [&](auto* p, Index n) { fg::fill_randint(p, n, -3, std::int64_t(1) << 40, g); }),
            (Ints{809987172103, 439993648628, 902364669712}));
  EXPECT_EQ(drawn<std::int64_t>(8, [&](auto* p, Index n) { fg::fill_randperm(p, n, g); }), (Ints{2, 5, 1, 0, 7, 6, 4, 3}));
  EXPECT_THROW(drawn<std::int64_t>(1, [&](auto* p, Index n) { fg::fill_randint(p, n, 4, 4, g); }), fg::ConfigError);
}

TEST(Generator, ALongSequenceStaysInStepWithPyTorch) {
  fg::Generator g(42);
  const auto z = drawn<double>(1000000, [&](auto* p, Index n) { fg::fill_randn(p, n, g); });
  const auto u = drawn<float>(1000003, [&](auto* p, Index n) { fg::fill_rand(p, n, g); });
  const auto order = drawn<std::int64_t>(1000, [&](auto* p, Index n) { fg::fill_randperm(p, n, g); });
  EXPECT_NEAR(std::accumulate(z.begin(), z.end(), 0.0), -985.2299952212886, 1e-8);
  EXPECT_NEAR(std::accumulate(u.begin(), u.end(), 0.0), 499694.5688840151, 1e-6);
  std::int64_t weighted = 0;
  for (std::size_t i = 0; i < order.size(); ++i) weighted += order[i] * std::int64_t(i);
  EXPECT_EQ(weighted, 252024289);
  EXPECT_EQ(drawn<std::int64_t>(1, [&](auto* p, Index n) { fg::fill_randint(p, n, 0, 1 << 20, g); })[0], 515054);
}

TEST(Generator, AStateComesBackWithTheKeptNormal) {
  fg::Generator g(9);
  drawn<float>(1001, [&](float* p, Index n) { fg::fill_rand(p, n, g); });
  g.normal();  // leaves one of a pair behind
  const auto state = g.state();
  EXPECT_EQ(state.size(), 5056u);
  const auto draw = [](fg::Generator& from) {
    std::vector<double> v{from.normal()};
    for (int i = 0; i < 2000; ++i) v.push_back(double(from.random()));
    return v;
  };
  fg::Generator other(1);
  other.set_state(state);
  EXPECT_EQ(other.state(), state);
  EXPECT_EQ(draw(other), draw(g));
}

TEST(Generator, BytesThatAreNoStateAreRefusedAndChangeNothing) {
  fg::Generator g(3);
  const auto before = g.state();
  auto lying = before;
  EXPECT_THROW(g.set_state(std::span(before).first(100)), fg::ConfigError);
  lying[8] = 0, lying[9] = 200;  // left: 51200 numbers
  EXPECT_THROW(g.set_state(lying), fg::ConfigError);
  lying = before;
  lying[17] = 255;  // next: beyond the 624 words
  EXPECT_THROW(g.set_state(lying), fg::ConfigError);
  EXPECT_EQ(g.state(), before);
}

TEST(Generator, EachThreadHasItsOwnDefault) {
  fg::manual_seed(5);
  const auto here = fg::default_generator().state();
  std::uint64_t other_seed = 0;
  std::thread([&] { other_seed = fg::default_generator().initial_seed(); }).join();
  EXPECT_EQ(other_seed, fg::Generator::kDefaultSeed);
  EXPECT_EQ(fg::default_generator().state(), here);
}

// torch.manual_seed(7); torch.randn(2, 3); torch.rand(4, dtype=torch.float64); torch.randint(0, 10, (5,)); torch.randperm(6)
TEST(RandomTensors, SpendTheGeneratorAsPyTorchDoes) {
  fg::Generator g(7);
  const auto a = fg::randn<float>({2, 3}, g);
  const float normals[] = {-0.1467950940132141f, 0.7861412763595581f, 0.9468216300010681f, -1.1143440008163452f, 1.6907901763916016f, -0.8948279023170471f};
  for (int i = 0; i < 6; ++i) EXPECT_NEAR(a.data()[i], normals[i], 1e-6f);
  const auto b = fg::rand<double>({4}, g);
  EXPECT_NEAR(b(3), 0.7593572272132831, 1e-15);
  const auto c = fg::randint(0, 10, {5}, g);
  const std::int64_t whole[] = {6, 0, 5, 1, 8};
  for (int i = 0; i < 5; ++i) EXPECT_EQ(c(i), whole[i]);
  const auto d = fg::randperm(6, g);
  const std::int64_t order[] = {2, 4, 5, 3, 1, 0};
  for (int i = 0; i < 6; ++i) EXPECT_EQ(d(i), order[i]);
}

}  // namespace
