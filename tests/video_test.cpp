// Reading and writing video through FFmpeg.
#include <algorithm>
#include <cmath>
#include <csignal>
#include <map>
#include <random>

#include <sys/resource.h>

#include "video_fixture.hpp"

namespace {

double psnr(const Film& a, const Film& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.rgb.size(); ++i) sum += (double(a.rgb[i]) - b.rgb[i]) * (double(a.rgb[i]) - b.rgb[i]);
  return 10 * std::log10(255.0 * 255.0 * double(a.rgb.size()) / std::max(sum, 1e-9));
}

// ---- reading ----

TEST_F(SharedVideo, TellsWhatAFileHolds) {
  const VideoInfo water = VideoReader(root + "clips/stream-of-water.mp4").info();
  EXPECT_EQ(water.width, 480);
  EXPECT_EQ(water.height, 360);
  EXPECT_EQ(water.frames, 90);
  EXPECT_NEAR(water.fps, 29.97, 0.03);
  EXPECT_NEAR(water.duration_s, 3.0, 0.01);
  EXPECT_EQ(VideoReader(root + "clips/crystal.webm").info().codec, "vp8");
  EXPECT_NEAR(VideoReader(root + "asl/again.mkv").info().frames, 77, 1);   // from the duration
}

TEST_F(SharedVideo, ReadsTheFramesOfAWindow) {
  EXPECT_EQ(read_video(root + "clips/realshort.mp4").frames, 36);
  EXPECT_EQ(read_video(root + "clips/realshort.mp4", {.max_frames = 5}).frames, 5);
  const Film car = read_video(root + "clips/car-detection.mp4", {.start_s = 4.4, .end_s = 7.8});
  EXPECT_EQ(car.frames, 43);   // 4.4 s is frame 55 exactly
  EXPECT_EQ(Index(car.rgb.size()), 43 * 432 * 768 * 3);
}

TEST_F(SharedVideo, SeekingGivesTheFramesOfReadingOn) {
  // The cockatoo's 4:4:4 decodes rightly only if the decoder has seen the file's first packet.
  for (const char* name : {"clips/cockatoo.mp4", "clips/realshort.mp4", "asl/milk.mkv"}) {
    VideoReader through(root + name);
    const Index bytes = through.info().height * through.info().width * 3;
    const double targets[] = {4.6, 0.5, 1.0};
    std::map<double, std::pair<double, Bytes>> expected;
    while (expected.size() < 3 && through.next())
      for (const double t : targets)
        if (through.time_s() >= t && !expected.count(t)) through.copy_rgb((expected[t] = {through.time_s(), Bytes(std::size_t(bytes))}).second.data());
    VideoReader there(root + name);
    for (const double t : targets) {
      if (!expected.count(t)) continue;
      there.seek(t);
      ASSERT_TRUE(there.next()) << name << " " << t;
      Bytes rgb(static_cast<std::size_t>(bytes));
      there.copy_rgb(rgb.data());
      EXPECT_EQ(there.time_s(), expected[t].first);
      EXPECT_TRUE(rgb == expected[t].second) << name << " " << t;
      EXPECT_EQ(there.damaged(), 0);
    }
  }
}

TEST_F(Video, RefusesWhatIsNoVideo) {
  const auto open = [](const std::string& path) { return message<FileError>([&] { VideoReader reader(path); }); };
  EXPECT_NE(open(in("absent.mp4")).find("absent.mp4: can't open it as a video: No such file"), std::string::npos) << open(in("absent.mp4"));
  EXPECT_FALSE(open(folder.string()).empty());
  EXPECT_FALSE(open(put("empty.mp4", "")).empty());
  EXPECT_FALSE(open(put("text.avi", "this is only text")).empty());
  // A playlist would open other files; a path is never a protocol.
  write_mp4(in("film.mp4"), moving_square(3, 32, 48), 8);
  EXPECT_FALSE(open(put("list.mp4", "ffconcat version 1.0\nfile film.mp4\n")).empty());
  EXPECT_FALSE(open(put("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfilm.mp4\n")).empty());
  EXPECT_FALSE(open("concat:" + in("film.mp4")).empty());
  EXPECT_TRUE(open(in("film.mp4")).empty());
  EXPECT_NE(message<FileError>([&] { VideoReader reader(in("film.mp4"), 1000); }).find("film.mp4"), std::string::npos);
  EXPECT_FALSE(message<FileError>([&] { read_video(in("film.mp4"), {.max_bytes = 2 * 32 * 48 * 3}); }).empty());
  EXPECT_FALSE(message<FileError>([&] { read_video(in("film.mp4"), {.start_s = 7}); }).empty());
}

/// Reads all that a file gives: frames or a FileError, whatever is in it.
void survive(const std::string& path) {
  try {
    VideoReader reader(path, 1 << 20);
    Bytes rgb(std::size_t(reader.info().height * reader.info().width * 3));
    for (int n = 0; n < 20 && reader.next(); ++n) reader.copy_rgb(rgb.data());
    reader.seek(0.4);
    if (reader.next()) reader.copy_rgb(rgb.data());
  } catch (const FileError&) {
  }
}

TEST_F(SharedVideo, SurvivesTruncatedAndAlteredFiles) {
  std::mt19937 random(5);
  for (const char* name : {"clips/realshort.mp4", "asl/milk.mkv", "clips/crystal.webm"}) {
    const Bytes whole = read_file(root + name);
    const std::string path = in("broken" + fs::path(name).extension().string());
    for (std::size_t part = 0; part < 16; ++part) {
      put(fs::path(path).filename(), Bytes(whole.begin(), whole.begin() + std::ptrdiff_t(whole.size() * part / 16)));
      survive(path);
    }
    for (int round = 0; round < 8; ++round) {
      Bytes altered = whole;
      // Half of the rounds in the headers, at either end of the file, where the lengths are.
      for (int i = 0; i < 20; ++i) {
        const std::size_t where = round % 2 ? random() % altered.size() : random() % 2 ? random() % 2000 : altered.size() - 1 - random() % 2000;
        altered[where] ^= std::uint8_t(1u << random() % 8);
      }
      put(fs::path(path).filename(), altered);
      survive(path);
    }
  }
}

TEST_F(SharedVideo, SaysThatAFileIsDamaged) {
  Bytes b = read_file(root + "clips/realshort.mp4");
  const std::size_t data = std::string_view(reinterpret_cast<const char*>(b.data()), b.size()).find("mdat");
  for (std::size_t i = data + 20000; i < data + 30000; ++i) b[i] = std::uint8_t(i * 37);
  const std::string path = put("damaged.mp4", b);
  EXPECT_NE(message<FileError>([&] { read_video(path); }).find("damaged"), std::string::npos);
  EXPECT_GT(read_video(path, {.allow_damage = true}).frames, 10);
}

// ---- writing ----

TEST_F(Video, Mp4ComesBackAsItWent) {
  const Film film = moving_square(10, 48, 64);
  write_mp4(in("a.mp4"), film, 12.5);
  VideoReader reader(in("a.mp4"));
  EXPECT_NEAR(reader.info().fps, 12.5, 1e-6);
  EXPECT_EQ(reader.info().frames, 10);
  const Film back = read_video(in("a.mp4"));
  ASSERT_EQ(back.rgb.size(), film.rgb.size());
  EXPECT_GT(psnr(back, film), 30);   // at crf 17, where halved chroma blurs the square's edges
  write_mp4(in("b.mp4"), film, 12.5);
  EXPECT_TRUE(read_file(in("a.mp4")) == read_file(in("b.mp4")));
  write_mp4(in("c.mp4"), film, 12.5, {.crf = 40});
  EXPECT_LT(fs::file_size(in("c.mp4")), fs::file_size(in("a.mp4")));
}

TEST_F(Video, Mp4OfOddSizeGrowsByOne) {
  for (const auto& [h, w] : {std::pair<Index, Index>{33, 47}, {1, 1}, {3, 64}, {48, 17}}) {
    write_mp4(in("odd.mp4"), Film::filled(3, h, w, {120, 130, 140}), 8);
    const Film back = read_video(in("odd.mp4"));
    EXPECT_EQ(back.frames, 3);
    EXPECT_EQ(back.height, h + h % 2);
    EXPECT_EQ(back.width, w + w % 2);
    for (const auto v : back.rgb) ASSERT_NEAR(v, 130, 14);   // the edge goes on: no black border
  }
}

TEST_F(Video, AFailedWriteLeavesTheOldFile) {
  put("old.mp4", "precious");
  EXPECT_FALSE(message<ConfigError>([&] { write_mp4(in("old.mp4"), moving_square(2, 16, 16), 0); }).empty());
  EXPECT_FALSE(message<ConfigError>([&] { write_mp4(in("old.mp4"), moving_square(2, 16, 16), std::nan("")); }).empty());
  EXPECT_FALSE(message<ShapeError>([&] { write_mp4(in("old.mp4"), Film{2, 16, 16, {}}, 8); }).empty());
  EXPECT_FALSE(message<FileError>([&] { write_mp4(in("none/film.mp4"), moving_square(2, 16, 16), 8); }).empty());
  // A disk that takes no more: a limit on the size of files acts the same.
  struct rlimit limit, small;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  small = limit;
  small.rlim_cur = 1000;
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &small);
  const std::string full = message<FileError>([&] { write_mp4(in("old.mp4"), moving_square(20, 64, 64), 8, {.crf = 0}); });
  const std::string full_webp = message<FileError>([&] { write_webp(in("old.mp4"), moving_square(20, 64, 64), 8, {.lossless = true}); });
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(full.find("old.mp4"), std::string::npos) << full;
  EXPECT_NE(full_webp.find("old.mp4"), std::string::npos) << full_webp;
  EXPECT_EQ(read_file(in("old.mp4")).size(), 8u);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 1);   // no temporary left
}

TEST_F(Video, WebpIsAnAnimation) {
  if (!avcodec_find_encoder_by_name("libwebp_anim")) GTEST_SKIP() << "this FFmpeg has no libwebp_anim";
  write_webp(in("a.webp"), moving_square(6, 33, 47), 10);
  const Bytes b = read_file(in("a.webp"));
  const auto u24 = [&](std::size_t at) { return b[at] | b[at + 1] << 8 | b[at + 2] << 16; };
  ASSERT_GT(b.size(), 30u);
  EXPECT_EQ(std::string(b.begin(), b.begin() + 4), "RIFF");
  ASSERT_EQ(std::string(b.begin() + 8, b.begin() + 16), "WEBPVP8X");
  EXPECT_EQ(u24(24) + 1, 47);
  EXPECT_EQ(u24(27) + 1, 33);
  int frames = 0, milliseconds = 0;
  for (std::size_t at = 12; at + 24 <= b.size();) {
    const std::size_t length = std::size_t(u24(at + 4)) + (std::size_t(b[at + 7]) << 24);
    if (std::string(b.begin() + std::ptrdiff_t(at), b.begin() + std::ptrdiff_t(at) + 4) == "ANMF") ++frames, milliseconds += u24(at + 20);
    at += 8 + length + length % 2;
  }
  EXPECT_EQ(frames, 6);
  EXPECT_NEAR(milliseconds, 600, 10);
}

TEST_F(Video, RotationInTheFileIsApplied) {
  const Film film = moving_square(2, 32, 48);
  write_mp4(in("straight.mp4"), film, 8);
  const Film straight = read_video(in("straight.mp4"));
  const Bytes original = read_file(in("straight.mp4"));
  const std::size_t track = std::string_view(reinterpret_cast<const char*>(original.data()), original.size()).find("tkhd");
  ASSERT_NE(track, std::string_view::npos);
  // The display matrix stands 44 bytes after the box's name: a b u, c d v, x y w, where x' = a·x + c·y and y' = b·x + d·y.
  const auto turned = [&](std::int8_t a, std::int8_t b, std::int8_t c, std::int8_t d) {
    Bytes file = original;
    const std::pair<int, std::int8_t> entries[] = {{0, a}, {1, b}, {3, c}, {4, d}};
    for (const auto& [i, v] : entries) {
      std::uint8_t* p = &file[track + 44 + std::size_t(4 * i)];
      p[0] = v < 0 ? 0xff : 0, p[1] = std::uint8_t(v), p[2] = p[3] = 0;
    }
    return read_video(put("turned.mp4", file));
  };
  const Film quarter = turned(0, 1, -1, 0);   // clockwise: what was left comes on top
  ASSERT_EQ(quarter.height, 48);
  ASSERT_EQ(quarter.width, 32);
  const Film half = turned(-1, 0, 0, -1), back = turned(0, -1, 1, 0), mirrored = turned(-1, 0, 0, 1);
  for (Index y = 0; y < 32; ++y)
    for (Index x = 0; x < 48; ++x) {
      const Rgb p = straight.at(1, y, x);
      ASSERT_EQ(quarter.at(1, x, 31 - y), p);
      ASSERT_EQ(half.at(1, 31 - y, 47 - x), p);
      ASSERT_EQ(back.at(1, 47 - x, y), p);
      ASSERT_EQ(mirrored.at(1, y, 47 - x), p);
    }
}

}  // namespace
