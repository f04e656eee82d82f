// What the tests of video share: a folder of their own, the shared clips, a small film.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <unistd.h>

#include <framegrad/io/video.hpp>
#include <framegrad/io/video_write.hpp>

using namespace fg;
namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

/// Folder of the shared clips; empty where there are none.
inline std::string clips() {
  std::vector<std::string> roots;
  if (const char* s = std::getenv("FRAMEGRAD_SHARED")) roots.push_back(s);
#ifdef FRAMEGRAD_SOURCE_DIR
  roots.push_back(std::string(FRAMEGRAD_SOURCE_DIR) + "/../shared/data");
#endif
  for (const auto& root : roots)
    if (fs::exists(root + "/video/captions.tsv")) return root + "/video/";
  return {};
}

class Video : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder); }
  void TearDown() override { fs::remove_all(folder); }
  std::string in(const std::string& name) const { return (folder / name).string(); }
  std::string put(const std::string& name, std::string_view content) const {
    std::ofstream(in(name), std::ios::binary) << content;
    return in(name);
  }
  std::string put(const std::string& name, const Bytes& b) const { return put(name, {reinterpret_cast<const char*>(b.data()), b.size()}); }

  const fs::path folder = fs::temp_directory_path() / ("framegrad_video_" + std::to_string(::getpid()));
};

class SharedVideo : public Video {
 protected:
  void SetUp() override {
    Video::SetUp();
    if (root.empty()) GTEST_SKIP() << "shared/data/video isn't here: set FRAMEGRAD_SHARED";
  }
  const std::string root = clips();
};

/// The message of the E that f throws; empty if it throws none.
template <class E, class F>
std::string message(F&& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return {};
}

/// A smooth picture with a bright square that moves right, red on the left and blue below.
inline Film moving_square(Index frames, Index height, Index width) {
  Film film = Film::filled(frames, height, width);
  for (Index t = 0; t < frames; ++t)
    for (Index y = 0; y < height; ++y)
      for (Index x = 0; x < width; ++x) {
        const bool square = x >= 2 * t && x < 2 * t + 12 && y >= 8 && y < 20;
        film.set(t, y, x, square ? Rgb{230, 230, 230} : Rgb{std::uint8_t(200 - 150 * x / width), 60, std::uint8_t(40 + 150 * y / height)});
      }
  return film;
}
