// Generator — the random numbers of PyTorch's CPU generator, so that a seed gives what a Python user gets.
//
// The bits are those of MT19937 (Matsumoto and Nishimura 1998); what follows decides how they are spent:
//   rand      the low 24 of 32 bits, rounded to bf16 or half for those; f64: the low 53 of 64, the first word being the upper half
//   randn     from 16 numbers on, in blocks: with u in [0,1), element j < 8 of a block is r·cos θ, element j + 8 is r·sin θ,
//             r = √(−2 ln(1 − u_j)), θ = 2π·u_{j+8}; bf16 and half are rounded f32. Behind the blocks the last 16 numbers are
//             drawn again, in f32 and f64 after the rest got uniforms too.
//             Below 16: pairs in f64, θ from the first draw, r from the second; the sine waits for the next call.
//   randint   bits modulo the range; 64 bits where the range has 2^28 values or more
//   randperm  Fisher and Yates from the front
// Integers and uniforms equal PyTorch's bit for bit. Normals are within a few units in the last place of r: PyTorch's own
// vector cosine is no more exact than that. For numbers that are drawn in parallel see philox.hpp.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <framegrad/core/dtype.hpp>

namespace fg::inline FRAMEGRAD_ABI {

class Generator {
 public:
  static constexpr std::uint64_t kDefaultSeed = 67280421310721u;  // PyTorch's

  explicit Generator(std::uint64_t seed = kDefaultSeed) { manual_seed(seed); }

  /// Of the seed's 64 bits the lower 32 count.
  void manual_seed(std::uint64_t seed) {
    seed_ = seed;
    state_[0] = std::uint32_t(seed);
    for (std::uint32_t i = 1; i < kWords; ++i) state_[i] = 1812433253u * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
    left_ = 1, next_ = 0;
    has_normal_ = false;
  }
  std::uint64_t initial_seed() const { return seed_; }

  std::uint32_t random() {
    if (--left_ == 0) twist();
    std::uint32_t y = state_[next_++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
  }
  std::uint64_t random64() {
    const std::uint64_t upper = random();
    return (upper << 32) | random();
  }

  /// Uniform in [0, 1). What would round to 1 in bf16 or half is 0.
  template <class T>
  T uniform() {
    if constexpr (std::is_same_v<T, double>) return double(random64() & ((std::uint64_t(1) << 53) - 1)) * 0x1p-53;
    const float u = float(random() & 0xffffffu) * 0x1p-24f;
    return float(T(u)) < 1 ? T(u) : T(0.0f);
  }

  /// Standard normal, one at a time.
  double normal() {
    if (has_normal_) {
      has_normal_ = false;
      return kept_normal_;
    }
    const double u = uniform<double>(), v = uniform<double>();
    const double r = std::sqrt(-2 * std::log1p(-v)), theta = 2 * kPi * u;
    kept_normal_ = r * std::sin(theta), has_normal_ = true;
    return r * std::cos(theta);
  }

  /// The next number of [0, range).
  std::uint64_t below(std::uint64_t range) { return range >= (std::uint64_t(1) << 28) ? random64() % range : random() % range; }

  /// PyTorch's get_rng_state(): 5056 bytes. `set_state` takes them back, from here or from PyTorch.
  std::vector<std::uint8_t> state() const {
    std::vector<std::uint8_t> bytes(kStateBytes, 0);
    StateLayout s{};
    s.seed = seed_, s.left = std::int32_t(left_), s.seeded = 1, s.next = next_;
    for (std::size_t i = 0; i < kWords; ++i) s.words[i] = state_[i];
    s.normal = has_normal_ ? kept_normal_ : 0, s.normal_is_valid = has_normal_;
    std::memcpy(bytes.data(), &s, sizeof s);
    return bytes;
  }
  /// Throws ConfigError if these are no such bytes; the generator then stays as it was.
  void set_state(std::span<const std::uint8_t> bytes) {
    check<ConfigError>(bytes.size() == kStateBytes, "generator", "a state of ", bytes.size(), " bytes, ", kStateBytes, " are needed");
    StateLayout s;
    std::memcpy(&s, bytes.data(), sizeof s);
    bool words_fit = true;
    for (const std::uint64_t w : s.words) words_fit = words_fit && w <= 0xffffffffu;
    check<ConfigError>(s.seeded == 1 && s.left >= 1 && s.left <= std::int32_t(kWords) && s.next <= kWords && words_fit &&
                           (s.left == 1 || s.next + std::uint64_t(s.left) == kWords + 1),
                       "generator", "these bytes are not a generator's state");
    seed_ = s.seed, left_ = std::uint32_t(s.left), next_ = std::uint32_t(s.next);
    for (std::size_t i = 0; i < kWords; ++i) state_[i] = std::uint32_t(s.words[i]);
    kept_normal_ = s.normal, has_normal_ = s.normal_is_valid != 0;
  }

 private:
  static constexpr std::uint32_t kWords = 624, kShift = 397;
  static constexpr double kPi = 3.14159265358979323846;
  static constexpr std::size_t kStateBytes = 5056;
  struct StateLayout {
    std::uint64_t seed;
    std::int32_t left, seeded;
    std::uint64_t next;
    std::uint64_t words[kWords];
    double unused_x, normal, unused_rho;
    std::int32_t normal_is_valid;
  };
  static_assert(sizeof(StateLayout) <= kStateBytes);

  void twist() {
    const auto mix = [](std::uint32_t upper, std::uint32_t lower) {
      const std::uint32_t y = (upper & 0x80000000u) | (lower & 0x7fffffffu);
      return (y >> 1) ^ (lower & 1 ? 0x9908b0dfu : 0u);
    };
    for (std::uint32_t i = 0; i < kWords; ++i) state_[i] = state_[(i + kShift) % kWords] ^ mix(state_[i], state_[(i + 1) % kWords]);
    left_ = kWords, next_ = 0;
  }

  std::uint64_t seed_ = 0;
  std::uint32_t left_ = 1, next_ = 0;  // numbers until the next twist, and where the next one stands
  std::array<std::uint32_t, kWords> state_{};
  double kept_normal_ = 0;
  bool has_normal_ = false;
};

/// The calling thread's generator, used where none is given.
inline Generator& default_generator() {
  static thread_local Generator generator;
  return generator;
}
inline void manual_seed(std::uint64_t seed) { default_generator().manual_seed(seed); }

/// out[0…n) uniform in [0, 1).
template <class T>
void fill_rand(T* out, Index n, Generator& g = default_generator()) {
  for (Index i = 0; i < n; ++i) out[i] = g.uniform<T>();
}

namespace detail {
/// 16 uniforms → 16 normals, in place. θ is rounded to f32 as PyTorch's is: near a zero of the cosine that rounding is all
/// that is left of it. Logarithm, sine and cosine are taken in f64, so that no processor's f32 versions show.
template <class T>
void normals_of_16_uniforms(T* p) {
  for (int j = 0; j < 8; ++j) {
    const T r = T(std::sqrt(-2 * std::log(double(1 - p[j])))), theta = T(2 * 3.14159265358979323846) * p[j + 8];
    p[j] = r * T(std::cos(double(theta)));
    p[j + 8] = r * T(std::sin(double(theta)));
  }
}
}  // namespace detail

/// out[0…n) standard normal.
template <class T>
void fill_randn(T* out, Index n, Generator& g = default_generator()) {
  if (n < 16) {
    for (Index i = 0; i < n; ++i) out[i] = T(g.normal());
    return;
  }
  accum_t<T> block[16];
  const auto draw_block = [&](T* to) {
    fill_rand(block, 16, g);
    detail::normals_of_16_uniforms(block);
    for (int j = 0; j < 16; ++j) to[j] = T(block[j]);
  };
  for (Index i = 0; i + 16 <= n; i += 16) draw_block(out + i);
  if (n % 16 == 0) return;
  if constexpr (std::is_same_v<T, accum_t<T>>)
    for (Index i = 0; i < n % 16; ++i) g.uniform<T>();
  draw_block(out + n - 16);
}

/// out[0…n) integers of [low, high). Throws ConfigError if there are none.
template <class T>
void fill_randint(T* out, Index n, std::int64_t low, std::int64_t high, Generator& g = default_generator()) {
  check<ConfigError>(low < high, "randint", "[", low, ", ", high, ") is empty");
  const std::uint64_t range = std::uint64_t(high) - std::uint64_t(low);
  for (Index i = 0; i < n; ++i) out[i] = T(std::int64_t(std::uint64_t(low) + g.below(range)));
}

/// out[0…n) = a permutation of 0…n − 1.
template <class T>
void fill_randperm(T* out, Index n, Generator& g = default_generator()) {
  // Above this length PyTorch draws 64 bits and builds the permutation inside out.
  check<ConfigError>(n < Index(0xffffffffu / 20), "randperm", n, " elements, fewer than ", 0xffffffffu / 20, " are possible");
  for (Index i = 0; i < n; ++i) out[i] = T(i);
  for (Index i = 0; i + 1 < n; ++i) std::swap(out[i], out[i + Index(g.random() % std::uint64_t(n - i))]);
}

}  // namespace fg::inline FRAMEGRAD_ABI
