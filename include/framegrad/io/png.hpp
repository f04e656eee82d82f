// PNG — one frame of a film to a file and back (ISO/IEC 15948): 8 bits a channel, not interlaced.
//
// Rows are written with the filter, of five, whose result has the smallest sum of absolute values. Gray and RGB are read,
// with or without alpha; alpha is dropped.
#pragma once

#include <array>
#include <cstdlib>
#include <cstring>

#include <framegrad/io/atomic_file.hpp>
#include <framegrad/io/deflate.hpp>
#include <framegrad/io/film.hpp>

namespace fg::inline FRAMEGRAD_ABI {

namespace detail::png {

inline constexpr std::array<std::uint8_t, 8> kSignature = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

inline std::uint32_t crc32(std::span<const std::uint8_t> bytes) {
  static constexpr auto table = [] {
    std::array<std::uint32_t, 256> t{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t c = i;
      for (int k = 0; k < 8; ++k) c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
      t[i] = c;
    }
    return t;
  }();
  std::uint32_t c = ~0u;
  for (const std::uint8_t b : bytes) c = table[(c ^ b) & 255] ^ (c >> 8);
  return ~c;
}

inline void append_word(std::vector<std::uint8_t>& out, std::uint32_t v) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(std::uint8_t(v >> shift));
}
inline std::uint32_t word(std::span<const std::uint8_t> bytes, std::size_t at) {
  return std::uint32_t(bytes[at]) << 24 | std::uint32_t(bytes[at + 1]) << 16 | std::uint32_t(bytes[at + 2]) << 8 | bytes[at + 3];
}

inline void append_chunk(std::vector<std::uint8_t>& out, const char* kind, std::span<const std::uint8_t> data) {
  append_word(out, std::uint32_t(data.size()));
  const std::size_t begin = out.size();
  out.insert(out.end(), kind, kind + 4);
  out.insert(out.end(), data.begin(), data.end());
  append_word(out, crc32(std::span(out).subspan(begin)));
}

/// What a filter expects at a byte: a to the left, b above, c above to the left.
inline int expected(int filter, int a, int b, int c) {
  switch (filter) {
    case 1: return a;
    case 2: return b;
    case 3: return (a + b) / 2;
    case 4: {
      const int p = a + b - c, pa = std::abs(p - a), pb = std::abs(p - b), pc = std::abs(p - c);
      return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
    }
    default: return 0;
  }
}

}  // namespace detail::png

/// Frame `t` of a film → the bytes of a PNG file.
inline std::vector<std::uint8_t> encode_png(const Film& film, Index t = 0) {
  film.validate();
  const std::uint8_t* pixels = film.frame(t);
  const std::size_t row = std::size_t(film.width) * 3;
  std::vector<std::uint8_t> filtered, best(row), trial(row);
  filtered.reserve((row + 1) * std::size_t(film.height));
  for (Index y = 0; y < film.height; ++y) {
    const std::uint8_t *at = pixels + std::size_t(y) * row, *above = y > 0 ? at - row : at;
    int best_filter = 0;
    long best_sum = -1;
    for (int filter = 0; filter < 5; ++filter) {
      long sum = 0;
      for (std::size_t i = 0; i < row; ++i) {
        const int a = i >= 3 ? at[i - 3] : 0, b = y > 0 ? above[i] : 0, c = i >= 3 && y > 0 ? above[i - 3] : 0;
        trial[i] = std::uint8_t(at[i] - detail::png::expected(filter, a, b, c));
        sum += std::abs(int(std::int8_t(trial[i])));
      }
      if (best_sum < 0 || sum < best_sum) best_sum = sum, best_filter = filter, best.swap(trial);
    }
    filtered.push_back(std::uint8_t(best_filter));
    filtered.insert(filtered.end(), best.begin(), best.end());
  }
  std::vector<std::uint8_t> header, out(detail::png::kSignature.begin(), detail::png::kSignature.end());
  detail::png::append_word(header, std::uint32_t(film.width));
  detail::png::append_word(header, std::uint32_t(film.height));
  header.insert(header.end(), {8, 2, 0, 0, 0});  // 8 bits, RGB, deflate, five filters, not interlaced
  detail::png::append_chunk(out, "IHDR", header);
  detail::png::append_chunk(out, "IDAT", zlib_compress(filtered));
  detail::png::append_chunk(out, "IEND", {});
  return out;
}

inline void write_png(const std::string& path, const Film& film, Index t = 0) { write_file_atomically(path, encode_png(film, t)); }

/// The bytes of a PNG file → a film of one frame. Throws FileError, with `name` in front, for damaged bytes or an unread kind.
inline Film decode_png(std::span<const std::uint8_t> bytes, std::string_view name = "png") {
  using namespace detail::png;
  const auto need = [&](bool good, const auto&... parts) { check<FileError>(good, name, parts...); };
  need(bytes.size() >= 8 && std::equal(kSignature.begin(), kSignature.end(), bytes.begin()), "not a PNG file");
  Index width = 0, height = 0;
  std::size_t channels = 0;
  std::vector<std::uint8_t> packed;
  bool ended = false;
  for (std::size_t at = 8; !ended;) {
    need(bytes.size() - at >= 12, "the file is cut off");
    const std::size_t length = word(bytes, at);
    need(length <= bytes.size() - at - 12, "a chunk of ", length, " bytes in a file of ", bytes.size());
    const auto data = bytes.subspan(at + 8, length);
    const std::string kind(reinterpret_cast<const char*>(bytes.data() + at + 4), 4);
    need(word(bytes, at + 8 + length) == crc32(bytes.subspan(at + 4, length + 4)), "a chunk's checksum is wrong");
    need((width != 0) == (kind != "IHDR"), "the header is missing or stands twice");
    if (kind == "IHDR") {
      need(length == 13, "a header of ", length, " bytes");
      width = word(data, 0), height = word(data, 4);
      constexpr Index kSide = Index(1) << 20;
      need(width > 0 && height > 0 && width <= kSide && height <= kSide, width, "x", height, " pixels");
      need(data[8] == 8 && data[10] == 0 && data[11] == 0 && data[12] == 0, int(data[8]), " bits a channel, interlaced ", int(data[12]),
           "; 8 bits, not interlaced, are read");
      need(data[9] == 0 || data[9] == 2 || data[9] == 4 || data[9] == 6, "color type ", int(data[9]), "; gray and RGB are read");
      channels = data[9] == 0 ? 1 : data[9] == 2 ? 3 : data[9] == 4 ? 2 : 4;
    } else if (kind == "IDAT") {
      packed.insert(packed.end(), data.begin(), data.end());
    } else if (kind == "IEND") {
      ended = true;
    } else {
      need((kind[0] & 0x20) != 0, "a chunk of unknown kind that must be understood");
    }
    at += 12 + length;
  }
  const std::size_t row = std::size_t(width) * channels;
  auto rows = zlib_decompress(packed, (row + 1) * std::size_t(height), name);
  Film film = Film::filled(1, height, width);
  for (std::size_t y = 0; y < std::size_t(height); ++y) {
    std::uint8_t *at = rows.data() + y * (row + 1) + 1, *above = y > 0 ? at - (row + 1) : at;
    const int filter = at[-1];
    need(filter < 5, "filter ", filter);
    for (std::size_t i = 0; i < row; ++i) {
      const int a = i >= channels ? at[i - channels] : 0, b = y > 0 ? above[i] : 0, c = i >= channels && y > 0 ? above[i - channels] : 0;
      at[i] = std::uint8_t(at[i] + expected(filter, a, b, c));
    }
    for (std::size_t x = 0; x < std::size_t(width); ++x) {
      const std::uint8_t* p = at + x * channels;
      film.set(0, Index(y), Index(x), channels < 3 ? Rgb{p[0], p[0], p[0]} : Rgb{p[0], p[1], p[2]});
    }
  }
  return film;
}

inline Film read_png(const std::string& path) { return decode_png(read_file(path), path); }

}  // namespace fg::inline FRAMEGRAD_ABI
