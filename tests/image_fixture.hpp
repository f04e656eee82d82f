// What the tests of pictures share: a folder of their own, films of noise and of few colors.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include <framegrad/core/philox.hpp>
#include <framegrad/io/atomic_file.hpp>
#include <framegrad/io/film.hpp>

namespace fs = std::filesystem;
using fg::Film;
using fg::Index;
using fg::Rgb;
using Bytes = std::vector<std::uint8_t>;

/// A folder that is removed with what is in it.
class ImageIo : public testing::Test {
 protected:
  ImageIo() {
    std::string name = (fs::temp_directory_path() / "framegrad-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    folder_ = name;
  }
  ~ImageIo() override { fs::remove_all(folder_); }
  std::string path(const char* name) const { return (folder_ / name).string(); }
  int files() const { return int(std::distance(fs::directory_iterator(folder_), fs::directory_iterator{})); }

 private:
  fs::path folder_;
};

inline std::string content(const std::string& path) {
  const Bytes bytes = fg::read_file(path);
  return {bytes.begin(), bytes.end()};
}

inline Film noise(Index frames, Index height, Index width, std::uint64_t seed) {
  Film film = Film::filled(frames, height, width);
  for (std::size_t i = 0; i < film.rgb.size(); ++i) film.rgb[i] = std::uint8_t(fg::Philox(seed).bits(0, 0, i));
  return film;
}

/// Few colors, large areas, a slope.
inline Film drawing(Index frames, Index height, Index width) {
  Film film = Film::filled(frames, height, width, {20, 20, 30});
  for (Index t = 0; t < frames; ++t)
    for (Index y = 0; y < height; ++y)
      for (Index x = 0; x < width; ++x)
        if ((x + t) / 5 % 2 == y / 7 % 2) film.set(t, y, x, {std::uint8_t(x * 6 % 120), 200, std::uint8_t(y / 12)});
  return film;
}
