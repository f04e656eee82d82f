// Philox4x32-10 — random bits as a function of a key and a counter (Salmon et al. 2011, "Parallel random numbers: as
// easy as 1, 2, 3", section 4.3).
//
//   ten rounds of   (c0, c1, c2, c3) ← (hi(M1·c2) ⊕ c1 ⊕ k0, lo(M1·c2), hi(M0·c0) ⊕ c3 ⊕ k1, lo(M0·c0))
//   and between them (k0, k1) ← (k0 + W0, k1 + W1)
//
// There is no state: value i of (seed, stream, step) is lane i mod 4 of the block with counter (i/4, step, stream), so any
// thread, process or device computes its part alone, and a resumed run goes on with the same numbers. The stream says
// what the numbers are for (noise, dropout, a parameter's name), the step when. All of it is constexpr and includes
// nothing that device code can't read.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include <framegrad/core/config.hpp>

namespace fg::inline FRAMEGRAD_ABI {

struct Philox {
  using Block = std::array<std::uint32_t, 4>;
  std::array<std::uint32_t, 2> key{};

  constexpr Philox() = default;
  constexpr explicit Philox(std::uint64_t seed) : key{std::uint32_t(seed), std::uint32_t(seed >> 32)} {}

  constexpr Block operator()(const Block& counter) const {
    std::uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t p0 = std::uint64_t(0xD2511F53u) * c0, p1 = std::uint64_t(0xCD9E8D57u) * c2;
      c0 = std::uint32_t(p1 >> 32) ^ c1 ^ k0;
      c1 = std::uint32_t(p1);
      c2 = std::uint32_t(p0 >> 32) ^ c3 ^ k1;
      c3 = std::uint32_t(p0);
      k0 += 0x9E3779B9u;  // golden ratio
      k1 += 0xBB67AE85u;  // √3 − 1
    }
    return {c0, c1, c2, c3};
  }

  /// Four consecutive values, those with indices 4·block … 4·block + 3.
  constexpr Block block(std::uint32_t stream, std::uint32_t step, std::uint64_t block) const {
    return (*this)({std::uint32_t(block), std::uint32_t(block >> 32), step, stream});
  }
  constexpr std::uint32_t bits(std::uint32_t stream, std::uint32_t step, std::uint64_t index) const {
    return block(stream, step, index / 4)[index % 4];
  }
};

/// 32 bits → [0, 1), 24 of them used: each value exact in f32.
constexpr float uniform_from_bits(std::uint32_t bits) { return float(bits >> 8) * 0x1p-24f; }

struct NormalPair { float first, second; };

/// Two independent standard normals of 64 bits, by Box and Muller; |z| < 6.8.
inline NormalPair normal_from_bits(std::uint32_t a, std::uint32_t b) {
  const float u = (float(a) + 0.5f) * 0x1p-32f;  // never 0
  const float r = std::sqrt(-2.0f * std::log(u < 1.0f ? u : 1.0f)), angle = float(b) * (0x1p-32f * 6.28318530717958648f);
  return {r * std::cos(angle), r * std::sin(angle)};
}

/// Value `index` of (seed, stream, step), uniform in [0, 1).
constexpr float philox_uniform(std::uint64_t seed, std::uint32_t stream, std::uint32_t step, std::uint64_t index) {
  return uniform_from_bits(Philox(seed).bits(stream, step, index));
}

/// Value `index` of (seed, stream, step), standard normal; lanes 0 and 1 of a block make one pair, 2 and 3 the other.
inline float philox_normal(std::uint64_t seed, std::uint32_t stream, std::uint32_t step, std::uint64_t index) {
  const auto b = Philox(seed).block(stream, step, index / 4);
  const bool upper = (index & 2) != 0;
  const NormalPair z = upper ? normal_from_bits(b[2], b[3]) : normal_from_bits(b[0], b[1]);
  return index & 1 ? z.second : z.first;
}

/// out[i] = value first + i of (seed, stream, step), for i in [0, n).
template <class T>
void philox_fill_uniform(std::uint64_t seed, std::uint32_t stream, std::uint32_t step, T* out, Index n, std::uint64_t first = 0) {
  const Philox philox(seed);
  for (Index i = 0; i < n;) {
    const std::uint64_t at = first + std::uint64_t(i);
    const auto b = philox.block(stream, step, at / 4);
    for (auto lane = unsigned(at % 4); lane < 4 && i < n; ++lane) out[i++] = T(uniform_from_bits(b[lane]));
  }
}

/// The same for standard normals.
template <class T>
void philox_fill_normal(std::uint64_t seed, std::uint32_t stream, std::uint32_t step, T* out, Index n, std::uint64_t first = 0) {
  const Philox philox(seed);
  for (Index i = 0; i < n;) {
    const std::uint64_t at = first + std::uint64_t(i);
    const auto b = philox.block(stream, step, at / 4);
    const NormalPair p = normal_from_bits(b[0], b[1]), q = normal_from_bits(b[2], b[3]);
    const float z[4] = {p.first, p.second, q.first, q.second};
    for (auto lane = unsigned(at % 4); lane < 4 && i < n; ++lane) out[i++] = T(z[lane]);
  }
}

}  // namespace fg::inline FRAMEGRAD_ABI
