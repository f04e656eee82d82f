// GIF — a film to an animation that loops for ever (GIF89a).
//
// One palette for the film: its own colors where there are at most 256, otherwise 256 by median cut (Heckbert 1982) over a
// histogram of 32×32×32 cells: the box whose widest axis, weighted by its pixels, is longest is cut at its median.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>

#include <framegrad/io/atomic_file.hpp>
#include <framegrad/io/film.hpp>

namespace fg::inline FRAMEGRAD_ABI {

namespace detail::gif {

inline std::uint32_t packed(const std::uint8_t* p) { return std::uint32_t(p[0]) << 16 | std::uint32_t(p[1]) << 8 | p[2]; }

struct Palette {
  std::vector<Rgb> colors;                 // at most 256
  std::vector<std::uint8_t> indices;       // one a pixel of the film, [T, H, W]
};

/// Empty if the film has more than 256 colors.
inline Palette exact_palette(const Film& film) {
  Palette palette;
  std::unordered_map<std::uint32_t, std::uint8_t> seen;
  for (std::size_t i = 0; i < film.rgb.size(); i += 3) {
    const auto [entry, added] = seen.try_emplace(packed(&film.rgb[i]), std::uint8_t(palette.colors.size()));
    if (added) {
      if (palette.colors.size() == 256) return {};
      palette.colors.push_back({film.rgb[i], film.rgb[i + 1], film.rgb[i + 2]});
    }
    palette.indices.push_back(entry->second);
  }
  return palette;
}

/// A cell of the histogram: how many pixels, and the sums of their channels.
struct Cell {
  std::array<std::uint64_t, 3> sum{};
  std::uint64_t pixels = 0;
  int id = 0;
  int side(int axis) const { return id >> (10 - 5 * axis) & 31; }
};

inline Palette median_cut(const Film& film) {
  const auto cell_of = [](const std::uint8_t* p) { return (p[0] >> 3) << 10 | (p[1] >> 3) << 5 | p[2] >> 3; };
  std::vector<Cell> all(32768);
  for (std::size_t i = 0; i < film.rgb.size(); i += 3) {
    Cell& c = all[std::size_t(cell_of(&film.rgb[i]))];
    for (std::size_t k = 0; k < 3; ++k) c.sum[k] += film.rgb[i + k];
    ++c.pixels;
  }
  std::vector<Cell> cells;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (all[i].pixels > 0) all[i].id = int(i), cells.push_back(all[i]);

  struct Box { std::size_t begin, end; int axis; double weight; };
  const auto box = [&](std::size_t begin, std::size_t end) {
    Box b{begin, end, 0, 0};
    int longest = 0;
    double pixels = 0;
    for (int axis = 0; axis < 3; ++axis) {
      int low = 31, high = 0;
      for (std::size_t i = begin; i < end; ++i) low = std::min(low, cells[i].side(axis)), high = std::max(high, cells[i].side(axis));
      if (high - low > longest) longest = high - low, b.axis = axis;
    }
    for (std::size_t i = begin; i < end; ++i) pixels += double(cells[i].pixels);
    b.weight = longest * std::sqrt(pixels);  // the root, so that a rare color keeps a place beside a large ground
    return b;
  };
  std::vector<Box> boxes{box(0, cells.size())};
  while (boxes.size() < 256) {
    const auto widest = std::max_element(boxes.begin(), boxes.end(), [](const Box& a, const Box& b) { return a.weight < b.weight; });
    if (widest->weight == 0) break;
    const Box b = *widest;
    std::sort(cells.begin() + std::ptrdiff_t(b.begin), cells.begin() + std::ptrdiff_t(b.end), [&](const Cell& x, const Cell& y) {
      return x.side(b.axis) != y.side(b.axis) ? x.side(b.axis) < y.side(b.axis) : x.id < y.id;
    });
    std::uint64_t pixels = 0, below = 0;
    for (std::size_t i = b.begin; i < b.end; ++i) pixels += cells[i].pixels;
    std::size_t cut = b.begin;
    do below += cells[cut++].pixels;
    while (cut + 1 < b.end && 2 * below < pixels);
    *widest = box(b.begin, cut);
    boxes.push_back(box(cut, b.end));
  }

  Palette palette;
  std::vector<std::uint8_t> index_of(32768, 0);
  for (std::size_t k = 0; k < boxes.size(); ++k) {
    std::array<std::uint64_t, 3> sum{};
    std::uint64_t pixels = 0;
    for (std::size_t i = boxes[k].begin; i < boxes[k].end; ++i) {
      for (std::size_t c = 0; c < 3; ++c) sum[c] += cells[i].sum[c];
      pixels += cells[i].pixels;
      index_of[std::size_t(cells[i].id)] = std::uint8_t(k);
    }
    const auto mean = [&](std::size_t c) { return std::uint8_t((sum[c] + pixels / 2) / pixels); };
    palette.colors.push_back({mean(0), mean(1), mean(2)});
  }
  for (std::size_t i = 0; i < film.rgb.size(); i += 3) palette.indices.push_back(index_of[std::size_t(cell_of(&film.rgb[i]))]);
  return palette;
}

/// Indices of one frame → LZW codes in blocks of at most 255 bytes.
inline void append_lzw(std::vector<std::uint8_t>& out, const std::uint8_t* indices, std::size_t n) {
  constexpr unsigned kClear = 256, kEnd = 257, kFull = 4096;
  std::vector<std::uint8_t> codes;
  std::uint32_t held = 0;
  int count = 0, width = 9;
  const auto put = [&](unsigned code) {
    held |= code << count, count += width;
    for (; count >= 8; count -= 8, held >>= 8) codes.push_back(std::uint8_t(held));
  };
  std::vector<std::uint16_t> next(kFull * 256, 0);  // next[string · 256 + index] = the code of the longer string, 0 for none
  unsigned used = kEnd + 1;
  put(kClear);
  unsigned string = indices[0];
  for (std::size_t i = 1; i < n; ++i) {
    std::uint16_t& longer = next[string * 256 + indices[i]];
    if (longer != 0) {
      string = longer;
      continue;
    }
    put(string);
    string = indices[i];
    if (used == kFull) {  // the reader's table is full as well: both begin again
      put(kClear);
      std::fill(next.begin(), next.end(), std::uint16_t(0));
      used = kEnd + 1, width = 9;
      continue;
    }
    if (used == (1u << width)) ++width;
    longer = std::uint16_t(used++);
  }
  put(string);
  if (used < kFull && used == (1u << width)) ++width;  // the reader adds one more string before it reads the end
  put(kEnd);
  if (count > 0) codes.push_back(std::uint8_t(held));
  out.push_back(8);  // bits of an index
  for (std::size_t i = 0; i < codes.size(); i += 255) {
    const std::size_t block = std::min<std::size_t>(255, codes.size() - i);
    out.push_back(std::uint8_t(block));
    out.insert(out.end(), codes.begin() + std::ptrdiff_t(i), codes.begin() + std::ptrdiff_t(i + block));
  }
  out.push_back(0);
}

}  // namespace detail::gif

/// A film → the bytes of an animated GIF. Times are kept in hundredths of a second, 2 at least: readers slow shorter ones down.
/// Throws ShapeError for a side above 65535 and ConfigError for a rate that is not positive.
inline std::vector<std::uint8_t> encode_gif(const Film& film, double fps = 8) {
  film.validate();
  check_shape(film.height <= 65535 && film.width <= 65535, "gif", film.height, "x", film.width, " pixels, 65535 a side are possible");
  check<ConfigError>(fps > 0 && fps < 1e6, "gif", fps, " frames a second");
  auto palette = detail::gif::exact_palette(film);
  if (palette.colors.empty()) palette = detail::gif::median_cut(film);

  std::vector<std::uint8_t> out = {'G', 'I', 'F', '8', '9', 'a'};
  const auto append = [&](std::initializer_list<int> bytes) {
    for (const int b : bytes) out.push_back(std::uint8_t(b));
  };
  const auto append_short = [&](Index v) { append({int(v & 255), int(v >> 8)}); };
  append_short(film.width), append_short(film.height);
  append({0xf7, 0, 0});  // a palette of 256 colors for all frames
  palette.colors.resize(256);
  for (const Rgb c : palette.colors) append({c.r, c.g, c.b});
  append({0x21, 0xff, 11, 'N', 'E', 'T', 'S', 'C', 'A', 'P', 'E', '2', '.', '0', 3, 1, 0, 0, 0});  // loops for ever
  const std::size_t pixels = std::size_t(film.height * film.width);
  for (Index t = 0; t < film.frames; ++t) {
    const auto time = [&](Index frame) { return Index(std::llround(double(frame) * 100 / fps)); };  // rounded in sum
    append({0x21, 0xf9, 4, 4});
    append_short(std::clamp<Index>(time(t + 1) - time(t), 2, 65535));
    append({0, 0, 0x2c, 0, 0, 0, 0});
    append_short(film.width), append_short(film.height);
    append({0});
    detail::gif::append_lzw(out, palette.indices.data() + std::size_t(t) * pixels, pixels);
  }
  append({0x3b});
  return out;
}

inline void write_gif(const std::string& path, const Film& film, double fps = 8) { write_file_atomically(path, encode_gif(film, fps)); }

}  // namespace fg::inline FRAMEGRAD_ABI
