// Deflate (RFC 1951) in a zlib frame (RFC 1950), for PNG: a small compressor with fixed codes, a full decompressor.
//
// The compressor looks for the longest earlier match along a short chain of equal three-byte hashes. The decompressor
// trusts nothing: codes, lengths and distances are checked, and the caller says how many bytes have to come out.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <framegrad/core/error.hpp>

namespace fg::inline FRAMEGRAD_ABI {

namespace detail {

/// Length symbol 257 + i stands for lengths from first[i] on, with extra[i] bits; distances likewise.
struct DeflateRanges {
  std::array<std::uint16_t, 30> first{};
  std::array<std::uint8_t, 30> extra{};
};
constexpr DeflateRanges deflate_lengths() {
  DeflateRanges r;
  for (unsigned i = 0, at = 3; i < 28; ++i) {
    r.extra[i] = std::uint8_t(i < 8 ? 0 : i / 4 - 1);
    r.first[i] = std::uint16_t(at), at += 1u << r.extra[i];
  }
  r.first[28] = 258;
  return r;
}
constexpr DeflateRanges deflate_distances() {
  DeflateRanges r;
  for (unsigned i = 0, at = 1; i < 30; ++i) {
    r.extra[i] = std::uint8_t(i < 4 ? 0 : i / 2 - 1);
    r.first[i] = std::uint16_t(at), at += 1u << r.extra[i];
  }
  return r;
}
inline constexpr DeflateRanges kLengths = deflate_lengths(), kDistances = deflate_distances();

inline std::uint32_t adler32(std::span<const std::uint8_t> bytes) {
  std::uint32_t a = 1, b = 0;
  for (const std::uint8_t byte : bytes) a = (a + byte) % 65521, b = (b + a) % 65521;
  return b << 16 | a;
}

class DeflateWriter {
 public:
  void bits(std::uint32_t value, int n) {
    held_ |= std::uint64_t(value) << count_, count_ += n;
    for (; count_ >= 8; count_ -= 8, held_ >>= 8) bytes.push_back(std::uint8_t(held_));
  }
  void align() { if (count_ > 0) bits(0, 8 - count_); }

  void symbol(unsigned s) {  // fixed literal/length code
    if (s < 144) code(0x30 + s, 8);
    else if (s < 256) code(0x190 + s - 144, 9);
    else if (s < 280) code(s - 256, 7);
    else code(0xC0 + s - 280, 8);
  }
  void match(unsigned length, unsigned distance) {
    const unsigned l = range(kLengths, 29, length), d = range(kDistances, 30, distance);
    symbol(257 + l);
    bits(length - kLengths.first[l], kLengths.extra[l]);
    code(d, 5);
    bits(distance - kDistances.first[d], kDistances.extra[d]);
  }

  std::vector<std::uint8_t> bytes;

 private:
  static unsigned range(const DeflateRanges& r, unsigned n, unsigned value) {
    return unsigned(std::upper_bound(r.first.begin(), r.first.begin() + n, value) - r.first.begin()) - 1;
  }
  void code(unsigned c, int n) {  // Huffman codes stand with their highest bit first
    unsigned turned = 0;
    for (int i = 0; i < n; ++i) turned |= (c >> i & 1) << (n - 1 - i);
    bits(turned, n);
  }
  std::uint64_t held_ = 0;
  int count_ = 0;
};

}  // namespace detail

/// bytes → zlib stream.
inline std::vector<std::uint8_t> zlib_compress(std::span<const std::uint8_t> in) {
  constexpr std::size_t kWindow = 32768, kLongest = 258, kHashes = 1 << 15;
  constexpr int kTries = 48;
  detail::DeflateWriter out;
  out.bytes = {0x78, 0x9c};
  out.bits(1, 1), out.bits(1, 2);  // the last block, with fixed codes
  std::vector<std::int64_t> head(kHashes, -1), previous(in.size(), -1);
  const auto enter = [&](std::size_t i) {
    if (i + 3 > in.size()) return;
    const std::uint32_t h = ((in[i] | std::uint32_t(in[i + 1]) << 8 | std::uint32_t(in[i + 2]) << 16) * 2654435761u) >> 17;
    previous[i] = head[h], head[h] = std::int64_t(i);
  };
  for (std::size_t i = 0; i < in.size();) {
    enter(i);
    std::size_t best = 0, distance = 0;
    const std::size_t most = std::min(kLongest, in.size() - i);
    int tries = kTries;
    for (std::int64_t c = previous[i]; c >= 0 && i - std::size_t(c) <= kWindow && tries-- > 0; c = previous[std::size_t(c)]) {
      std::size_t n = 0;
      while (n < most && in[std::size_t(c) + n] == in[i + n]) ++n;
      if (n > best) best = n, distance = i - std::size_t(c);
      if (best == most) break;
    }
    if (best < 3) {
      out.symbol(in[i++]);
      continue;
    }
    out.match(unsigned(best), unsigned(distance));
    for (std::size_t k = 1; k < best; ++k) enter(i + k);
    i += best;
  }
  out.symbol(256);
  out.align();
  const std::uint32_t sum = detail::adler32(in);
  for (int shift = 24; shift >= 0; shift -= 8) out.bytes.push_back(std::uint8_t(sum >> shift));
  return std::move(out.bytes);
}

namespace detail {

class Inflater {
 public:
  Inflater(std::span<const std::uint8_t> in, std::size_t expected, std::string_view name)
      : in_(in), expected_(expected), name_(name) {}

  std::vector<std::uint8_t> run() {
    need(in_.size() >= 2 && (in_[0] & 15) == 8 && (in_[0] >> 4) <= 7 && (in_[0] * 256 + in_[1]) % 31 == 0 && !(in_[1] & 32),
         "no zlib header");
    at_ = 2;
    out_.reserve(expected_);
    for (bool last = false; !last;) {
      last = bits(1);
      switch (bits(2)) {
        case 0: stored(); break;
        case 1: fixed(); break;
        case 2: dynamic(); break;
        default: need(false, "a block of unknown kind");
      }
    }
    need(out_.size() == expected_, "it ends too early");
    at_ -= std::size_t(count_ / 8);  // whole bytes that were taken in advance
    need(at_ + 4 <= in_.size(), "its checksum is missing");
    std::uint32_t sum = 0;
    for (int i = 0; i < 4; ++i) sum = sum << 8 | in_[at_ + std::size_t(i)];
    need(sum == adler32(out_), "its checksum is wrong");
    return std::move(out_);
  }

 private:
  static constexpr int kLongestCode = 15;

  /// A canonical Huffman code: how many codes have each length, and their symbols in order.
  struct Code {
    std::array<std::uint16_t, kLongestCode + 1> count{};
    std::array<std::uint16_t, 288> symbols{};
  };

  void need(bool good, std::string_view what) const { check<FileError>(good, name_, "the compressed data is damaged: ", what); }

  std::uint32_t bits(int n) {
    while (count_ < n) {
      need(at_ < in_.size(), "it is cut off");
      held_ |= std::uint32_t(in_[at_++]) << count_, count_ += 8;
    }
    const std::uint32_t value = held_ & ((1u << n) - 1);
    held_ >>= n, count_ -= n;
    return value;
  }

  /// `may_be_incomplete`: distance codes of one symbol, or of none, are allowed to leave codes unused.
  Code code(std::span<const std::uint8_t> lengths, bool may_be_incomplete) const {
    Code c;
    for (const auto l : lengths) ++c.count[l];
    const bool few = may_be_incomplete && lengths.size() - c.count[0] <= 1;
    c.count[0] = 0;
    int left = 1;
    std::array<std::uint16_t, kLongestCode + 2> offset{};
    for (int l = 1; l <= kLongestCode; ++l) {
      left = 2 * left - c.count[std::size_t(l)];
      need(left >= 0, "a code has too many words");
      offset[std::size_t(l) + 1] = std::uint16_t(offset[std::size_t(l)] + c.count[std::size_t(l)]);
    }
    need(left == 0 || few, "a code is incomplete");
    for (std::size_t s = 0; s < lengths.size(); ++s)
      if (lengths[s] != 0) c.symbols[offset[lengths[s]]++] = std::uint16_t(s);
    return c;
  }

  unsigned symbol(const Code& c) {
    int word = 0, first = 0, index = 0;
    for (std::size_t l = 1; l <= kLongestCode; ++l) {
      word |= int(bits(1));
      const int n = c.count[l];
      if (word - first < n) return c.symbols[std::size_t(index + word - first)];
      index += n, first = (first + n) * 2, word *= 2;
    }
    need(false, "a word is not in the code");
    return 0;
  }

  void room(std::size_t n) const { need(n <= expected_ - out_.size(), "more comes out than the size allows"); }

  void stored() {
    const int skipped = count_ % 8;
    bits(skipped);
    const std::uint32_t n = bits(16);
    need(bits(16) == (n ^ 0xffffu), "a stored block's length is wrong");
    room(n);
    for (std::uint32_t i = 0; i < n; ++i) out_.push_back(std::uint8_t(bits(8)));
  }
  void fixed() {
    std::array<std::uint8_t, 288> literals;
    for (std::size_t i = 0; i < 288; ++i) literals[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    std::array<std::uint8_t, 32> distances;
    distances.fill(5);
    compressed(code(literals, false), code(distances, false));
  }
  void dynamic() {
    const std::size_t n_literals = bits(5) + 257, n_distances = bits(5) + 1, n_lengths = bits(4) + 4;
    need(n_literals <= 286 && n_distances <= 30, "a code has too many symbols");
    constexpr std::uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    std::array<std::uint8_t, 19> of_lengths{};
    for (std::size_t i = 0; i < n_lengths; ++i) of_lengths[order[i]] = std::uint8_t(bits(3));
    const Code length_code = code(of_lengths, false);
    std::array<std::uint8_t, 316> lengths{};
    for (std::size_t i = 0; i < n_literals + n_distances;) {
      const unsigned s = symbol(length_code);
      if (s < 16) {
        lengths[i++] = std::uint8_t(s);
        continue;
      }
      need(s != 16 || i > 0, "a repeat without a length before it");
      const std::uint8_t value = s == 16 ? lengths[i - 1] : 0;
      const std::size_t n = s == 16 ? 3 + bits(2) : s == 17 ? 3 + bits(3) : 11 + bits(7);
      need(i + n <= n_literals + n_distances, "a repeat runs over the end");
      for (std::size_t k = 0; k < n; ++k) lengths[i++] = value;
    }
    need(lengths[256] != 0, "a block has no end");
    const std::span all(lengths);
    compressed(code(all.first(n_literals), false), code(all.subspan(n_literals, n_distances), true));
  }
  void compressed(const Code& literals, const Code& distances) {
    for (;;) {
      const unsigned s = symbol(literals);
      if (s == 256) return;
      if (s < 256) {
        room(1);
        out_.push_back(std::uint8_t(s));
        continue;
      }
      need(s <= 285, "an unknown length");
      const std::size_t length = kLengths.first[s - 257] + bits(kLengths.extra[s - 257]);
      const unsigned d = symbol(distances);
      need(d < 30, "an unknown distance");
      const std::size_t distance = kDistances.first[d] + bits(kDistances.extra[d]);
      need(distance <= out_.size(), "a distance before the beginning");
      room(length);
      for (std::size_t i = 0; i < length; ++i) out_.push_back(out_[out_.size() - distance]);
    }
  }

  std::span<const std::uint8_t> in_;
  std::size_t expected_, at_ = 0;
  std::string_view name_;
  std::uint32_t held_ = 0;
  int count_ = 0;
  std::vector<std::uint8_t> out_;
};

}  // namespace detail

/// zlib stream → exactly `expected` bytes. Throws FileError, with `name` in front, for anything else.
inline std::vector<std::uint8_t> zlib_decompress(std::span<const std::uint8_t> in, std::size_t expected, std::string_view name) {
  // No deflate stream expands beyond 1032 times: a size that lies is refused before memory is taken for it.
  check<FileError>(expected <= 1032 * (in.size() + 1), name, in.size(), " compressed bytes can't become ", expected);
  return detail::Inflater(in, expected, name).run();
}

}  // namespace fg::inline FRAMEGRAD_ABI
