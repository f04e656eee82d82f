// Reading and writing video, choosing and resizing frames, caption lists, and the folder that joins them.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include <unistd.h>

#include <framegrad/data/video_folder.hpp>
#include <framegrad/io/video_write.hpp>

namespace {

using namespace fg;
namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

/// Folder of the shared clips; empty where there are none.
std::string clips() {
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
Film moving_square(Index frames, Index height, Index width) {
  Film film = Film::filled(frames, height, width);
  for (Index t = 0; t < frames; ++t)
    for (Index y = 0; y < height; ++y)
      for (Index x = 0; x < width; ++x) {
        const bool square = x >= 2 * t && x < 2 * t + 12 && y >= 8 && y < 20;
        film.set(t, y, x, square ? Rgb{230, 230, 230} : Rgb{std::uint8_t(200 - 150 * x / width), 60, std::uint8_t(40 + 150 * y / height)});
      }
  return film;
}

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
    for (int n = 0; n < 40 && reader.next(); ++n) reader.copy_rgb(rgb.data());
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
    for (int round = 0; round < 12; ++round) {
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

// ---- frames ----

TEST(Frames, OffsetsOfAFullWindow) {
  EXPECT_EQ(spaced_frames({0, 48}, 16), (std::vector<Index>{0, 3, 6, 9, 12, 15, 18, 21, 25, 28, 31, 34, 37, 40, 43, 47}));
  EXPECT_EQ(spaced_frames({100, 148}, 16).back(), 147);
  EXPECT_EQ(spaced_frames({5, 9}, 1), std::vector<Index>{5});
  EXPECT_THROW(spaced_frames({5, 5}, 2), ConfigError);
}

TEST(Frames, WindowsStartWhereTheyFit) {
  std::set<Index> starts;
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    const FrameWindow w = frame_window(60, 16, 3, std::uint32_t(random()));
    EXPECT_EQ(w.end - w.begin, 48);
    starts.insert(w.begin);
  }
  EXPECT_EQ(*starts.begin(), 0);
  EXPECT_EQ(*starts.rbegin(), 11);   // 60 − 48 − 1
  EXPECT_EQ(starts.size(), 12u);
  const FrameWindow all = frame_window(20, 16, 3, 0xffffffffu);
  EXPECT_EQ(all.begin, 0);
  EXPECT_EQ(all.end, 20);
  EXPECT_THROW(frame_window(15, 16, 3, 0), ConfigError);
}

TEST(Frames, CropsAndBoxes) {
  EXPECT_EQ(crop_box(10, 13, 10, 10).left, 2);                                       // 1.5 → 2
  EXPECT_EQ(crop_box(10, 15, 10, 10).left, 2);                                       // 2.5 → 2
  EXPECT_EQ(crop_box(10, 13, 10, 10, Crop::centre, HalfPixel::down).left, 1);
  EXPECT_EQ(crop_box(10, 13, 10, 10, Crop::left).left, 0);
  EXPECT_EQ(crop_box(10, 13, 10, 10, Crop::right).left, 3);
  EXPECT_THROW(crop_box(10, 9, 10, 10), ShapeError);
  const Box wide = largest_box(540, 960, 64, 64), tall = largest_box(100, 50, 32, 64);
  EXPECT_EQ(wide.left, 210);
  EXPECT_EQ(wide.width, 540);
  EXPECT_EQ(tall.height, 25);
  EXPECT_EQ(tall.width, 50);

  const Bytes x = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};   // [2, 3, 2]
  Bytes y(4);
  crop(x.data(), 2, 3, {0, 1, 2, 1}, y.data(), 2);
  EXPECT_EQ(y, (Bytes{3, 4, 9, 10}));
  Bytes z = x;
  flip(z.data(), 2, 3, 2);
  EXPECT_EQ(z, (Bytes{5, 6, 3, 4, 1, 2, 11, 12, 9, 10, 7, 8}));
  EXPECT_THROW(crop(x.data(), 2, 3, {1, 1, 2, 1}, y.data(), 2), ShapeError);
}

template <class T>
std::vector<T> resized(std::vector<T> x, Index h, Index w, Resize how, Index H, Index W, double scale = 0) {
  std::vector<T> y(std::size_t(h * w));
  resize(x.data(), H, W, y.data(), h, w, 1, how, scale);
  return y;
}

TEST(Frames, ResizesByTheFormula) {
  using F = std::vector<float>;
  const auto near = [](const F& got, const F& want) {
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-4) << i;   // f32 sums of values up to 50
  };
  near(resized<float>({0, 10, 20, 30, 40}, 1, 3, Resize::bilinear, 1, 5), {10.f / 3, 20, 110.f / 3});   // x = 1/3, 2, 11/3
  near(resized<float>({0, 10}, 1, 4, Resize::bilinear, 1, 2), {0, 2.5, 7.5, 10});
  near(resized<float>({0, 10, 20, 30, 40}, 1, 2, Resize::bilinear, 1, 5, 2.0), {5, 25});                // the given scale: x = ½, 2½
  near(resized<float>({0, 10, 20, 30, 40}, 1, 2, Resize::area, 1, 5), {8, 32});                         // (0 + 10 + 20/2)/2.5
  near(resized<float>({1, 3, 5, 7}, 1, 1, Resize::area, 2, 2), {4});
  near(resized<float>({1, 3, 5, 7}, 1, 1, Resize::box, 2, 2), {4});
  near(resized<float>({0, 10, 20, 30, 50}, 1, 2, Resize::box, 1, 5), {10, 40});                          // centres in (0, 2.5], (2.5, 5]
  EXPECT_THROW(resized<float>({1, 2}, 1, 2, Resize::bilinear, 1, 2, 3.0), ShapeError);

  for (const Resize how : {Resize::bilinear, Resize::area, Resize::box, Resize::bicubic})
    for (const auto& [h, w] : {std::pair<Index, Index>{1, 1}, {5, 3}, {7, 9}, {20, 31}}) {
      for (const auto v : resized<std::uint8_t>(Bytes(63, 77), h, w, how, 7, 9)) ASSERT_EQ(v, 77);
      Bytes x(63);
      for (std::size_t i = 0; i < 63; ++i) x[i] = std::uint8_t(i % 9 * 20);
      EXPECT_EQ(resized<std::uint8_t>(x, 7, 9, how, 7, 9), x);   // same size: the identity
    }
}

TEST(Frames, BicubicHalvesLikeItsKernel) {
  // Shrinking by 2 the kernel is twice as wide: it sees a pixel at a distance d with the weight k(d/2), eight pixels in all.
  const auto k = [](double x) { return x < 1 ? 1.5 * x * x * x - 2.5 * x * x + 1 : -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2; };
  std::vector<float> impulse(20, 0.0f);
  impulse[10] = 1;   // its centre is 10.5; those of the outputs 1, 3, 5, …
  const auto y = resized<float>(impulse, 1, 10, Resize::bicubic, 1, 20);
  const double sum = 2 * (k(0.25) + k(0.75) + k(1.25) + k(1.75));
  EXPECT_NEAR(y[3], k(1.75) / sum, 1e-6);
  EXPECT_NEAR(y[4], k(0.75) / sum, 1e-6);
  EXPECT_NEAR(y[5], k(0.25) / sum, 1e-6);
  EXPECT_NEAR(y[6], k(1.25) / sum, 1e-6);
  EXPECT_EQ(y[7], 0);
  // Enlarging by 3 it keeps its width: output 7 lies on pixel 2, output 8 a third of a pixel off.
  const auto large = resized<float>({0, 0, 1, 0, 0, 0}, 1, 18, Resize::bicubic, 1, 6);
  EXPECT_NEAR(large[7], 1, 1e-6);
  EXPECT_NEAR(large[8], k(1 / 3.0), 1e-6);
  EXPECT_NEAR(large[11], k(4 / 3.0), 1e-6);
}

// ---- captions ----

TEST_F(SharedVideo, ReadsTheSharedList) {
  const auto rows = read_captions(root + "captions.tsv");
  ASSERT_EQ(rows.size(), 35u);
  EXPECT_EQ(rows[4].path, "clips/car-detection.mp4");
  EXPECT_EQ(rows[4].start_s, 4.4);
  EXPECT_EQ(rows[4].end_s, 7.8);
  EXPECT_EQ(rows[6].crop, Crop::left);
  EXPECT_EQ(rows[15].caption, "A man in a black printed sweater signs the word \"again\" in American Sign Language.");
  EXPECT_EQ(rows[15].line, 17);
}

TEST(Captions, ReadsCsvWithQuotesAndWithoutAHeader) {
  const auto rows = parse_captions("\xef\xbb\xbf" "a.mp4,\"red, \"\"round\"\"\nand big\"\r\n\r\n\"b,1.mp4\",plain\n", CaptionFormat::csv, "list");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].caption, "red, \"round\"\nand big");
  EXPECT_EQ(rows[1].path, "b,1.mp4");
  EXPECT_EQ(rows[1].line, 4);
  EXPECT_TRUE(std::isinf(rows[1].end_s));
}

TEST(Captions, ReadsJsonLines) {
  const auto rows = parse_captions(R"({"video": "a.mp4", "text": "ein Würfel \u00fc", "start": 1, "end_s": 2.5, "crop": "right", "id": 7}
 
{"path": "b.mp4", "caption": "", "end": null})", CaptionFormat::jsonl, "list");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].caption, "ein Würfel ü");
  EXPECT_EQ(rows[0].start_s, 1);
  EXPECT_EQ(rows[0].end_s, 2.5);
  EXPECT_EQ(rows[0].crop, Crop::right);
  EXPECT_EQ(rows[1].line, 3);
}

TEST(Captions, NamesTheLineThatIsWrong) {
  const auto error = [](std::string_view text, CaptionFormat format) {
    return message<FileError>([&] { parse_captions(text, format, "list"); });
  };
  const std::pair<const char*, const char*> tables[] = {
      {"path,caption\na,b\nc\n", "list: line 3: 1 fields, the first line has 2"},
      {"a,b\n\"c,d\n", "line 2: a quotation mark is never closed"},
      {"a,\"b\"x\n", "line 1: text after a closing"},
      {"path,caption,start_s\na,b,soon\n", "line 2: \"soon\" is not a time"},
      {"path,caption,start_s\na,b,-1\n", "line 2: \"-1\" is not a time"},
      {"path,caption,start,end\na,b,3,2\n", "line 2: starts at 3"},
      {"path,caption,crop\na,b,middle\n", "line 2: crop: \"middle\""},
      {"path,caption\n,b\n", "line 2: the path is empty"},
      {"path,file,caption\na,b,c\n", "line 1: two columns"},
      {"only\n", "line 1: one column"}};
  for (const auto& [text, part] : tables) EXPECT_NE(error(text, CaptionFormat::csv).find(part), std::string::npos) << error(text, CaptionFormat::csv);
  const std::pair<const char*, const char*> lines[] = {{"{\"path\":\"a\",\"caption\":\"b\"}\n{\"path\":", "line 2: not a JSON object"},
                                                       {"[1]", "line 1: not a JSON object"},
                                                       {"{\"path\":\"a\",\"caption\":3}", "line 1: caption is of the wrong type: number"},
                                                       {"{\"path\":\"a\"}", "line 1: no caption"},
                                                       {"{\"path\":\"a\",\"caption\":\"b\",\"start\":-2}", "line 1: starts at"}};
  for (const auto& [text, part] : lines) EXPECT_NE(error(text, CaptionFormat::jsonl).find(part), std::string::npos) << error(text, CaptionFormat::jsonl);
  EXPECT_THROW(read_captions("list.txt"), FileError);
}

// ---- the folder ----

TEST_F(SharedVideo, WindowsEqualTheReferenceFrames) {
  // The reference took ffmpeg's shortest way to RGB: chroma at half the width, and 8-bit tables that come out up to 1.7 levels
  // low. Luma less its mean difference is nearly free of both; the cockatoo's 4:4:4 has no such way. (Asked for chroma in full,
  // ffmpeg itself agrees with us to 0.04 to 0.3 levels.)
  std::ifstream npy(root + "frames_64x64_16.npy", std::ios::binary);
  npy.seekg(128);   // version 1.0, a header of 118 bytes: uint8 [35, 16, 64, 64, 3]
  constexpr Index kFrame = 64 * 64 * 3, kClip = 16 * kFrame;
  Bytes reference(35 * kClip);
  ASSERT_TRUE(npy.read(reinterpret_cast<char*>(reference.data()), std::streamsize(reference.size())));
  const auto rows = read_captions(root + "captions.tsv");
  int compared = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const CaptionRow& r = rows[i];
    if (!fs::exists(root + r.path)) continue;
    if (compared > 10 && i % 5 != 0) continue;   // every fourth of the many signers
    const Film film = read_video(root + r.path, {.start_s = r.start_s, .end_s = r.end_s});
    const Box box = largest_box(film.height, film.width, 64, 64, r.crop);
    Bytes part(std::size_t(box.height * box.width * 3)), small(kFrame);
    double absolute = 0, sum = 0;
    std::vector<double> luma;
    for (Index k = 0; k < 16; ++k) {
      crop(film.frame((2 * k * (film.frames - 1) + 15) / 30), film.height, film.width, box, part.data(), 3);   // rounded, as the reference
      resize(part.data(), box.height, box.width, small.data(), 64, 64, 3, Resize::area);
      const std::uint8_t* p = &reference[std::size_t(Index(i) * kClip + k * kFrame)];
      for (std::size_t q = 0; q < std::size_t(kFrame); q += 3) {
        const double d[3] = {double(small[q]) - p[q], double(small[q + 1]) - p[q + 1], double(small[q + 2]) - p[q + 2]};
        absolute += (std::abs(d[0]) + std::abs(d[1]) + std::abs(d[2])) / 3;
        luma.push_back(0.299 * d[0] + 0.587 * d[1] + 0.114 * d[2]);
        sum += luma.back();
      }
    }
    const double n = double(luma.size()), mean = sum / n;
    double spread = 0;
    for (const double d : luma) spread += std::abs(d - mean) / n;
    EXPECT_LT(std::abs(mean), 2) << r.path;
    EXPECT_LT(spread, 0.8) << r.path;
    EXPECT_LT(absolute / n, r.path == "clips/cockatoo.mp4" ? 0.2 : 4) << r.path;
    ++compared;
  }
  EXPECT_GE(compared, 12);
}

class Folder : public Video {
 protected:
  /// Four films of different lengths, one broken, one missing, one too short.
  void SetUp() override {
    Video::SetUp();
    std::string list = "file\tcaption\n";
    for (int i = 0; i < 4; ++i) {
      Film film = moving_square(20 + i, 32, 48);
      for (Index t = 0; t < film.frames; ++t) film.set(t, 31, 0, {std::uint8_t(t), 0, 0});
      write_mp4(in(std::to_string(i) + ".mp4"), film, 10, {.crf = 0});
      list += std::to_string(i) + ".mp4\tsquare " + std::to_string(i) + "\n";
    }
    write_mp4(in("short.mp4"), moving_square(5, 32, 48), 10);
    put("broken.mp4", "no video");
    put("captions.tsv", list + "short.mp4\tshort\nbroken.mp4\tbroken\nmissing.mp4\tmissing\n");
  }
  VideoFolder::Report collect() {
    return [this](const CaptionRow& row, const std::string& reason) { reports.push_back(row.path + ": " + reason); };
  }
  ClipOptions options{.frames = 8, .interval = 2, .height = 16, .width = 16, .seed = 3};
  std::vector<std::string> reports;
};

TEST_F(Folder, GivesEachGoodClipOnceAnEpochAndReportsTheRest) {
  VideoFolder videos(folder.string(), options, collect());
  ASSERT_EQ(videos.size(), 7);
  std::vector<std::string> orders;
  for (int epoch = 0; epoch < 3; ++epoch) {
    std::set<std::string> seen;
    orders.emplace_back();
    for (int i = 0; i < 4; ++i) {
      const Clip clip = videos.next();
      EXPECT_EQ(clip.film.frames, 8);
      EXPECT_EQ(clip.film.height, 16);
      EXPECT_EQ(clip.film.width, 16);
      EXPECT_TRUE(seen.insert(clip.caption).second);
      orders.back() += clip.caption;
    }
    EXPECT_EQ(videos.position().epoch, videos.position().next == 0 ? epoch + 1 : epoch);
  }
  EXPECT_FALSE(orders[0] == orders[1] && orders[1] == orders[2]);
  std::set<std::string> reasons(reports.begin(), reports.end());
  EXPECT_EQ(reasons.size(), 3u);
  for (const char* part : {"short.mp4: 5 frames", "broken.mp4: can't open", "missing.mp4: can't open it as a video: No such file"})
    EXPECT_TRUE(std::any_of(reasons.begin(), reasons.end(), [&](const auto& r) { return r.find(part) != std::string::npos; })) << part;
}

TEST_F(Folder, TheSameSeedAndPositionGiveTheSameClips) {
  VideoFolder whole(folder.string(), options), again(folder.string(), options);
  for (int i = 0; i < 5; ++i) whole.next();
  const DataPosition here = whole.position();
  again.restore(here);
  for (int i = 0; i < 6; ++i) {
    const Clip a = whole.next(), b = again.next();
    EXPECT_EQ(a.caption, b.caption);
    EXPECT_TRUE(a.film.rgb == b.film.rgb);
  }
  EXPECT_EQ(whole.position(), again.position());
  EXPECT_THROW(again.restore({0, 7}), ConfigError);

  ClipOptions other = options;
  other.seed = 4;
  VideoFolder differs(folder.string(), other);
  std::string order, other_order;
  for (Index i = 0; i < 21; ++i) order += char('0' + whole.row_at(i / 7, i % 7)), other_order += char('0' + differs.row_at(i / 7, i % 7));
  EXPECT_NE(order, other_order);
}

TEST_F(Folder, ClipsAreTheFramesThatWereAskedFor) {
  // 0.mp4 whole: frames 0, 2, 5, 8, 10, 13, 16, 19 of 20, cropped to the middle 32x32 and halved.
  options.interval = 0, options.shuffle = false;
  VideoFolder videos(folder.string(), options);
  const Clip clip = videos.at(0, 0).value();
  const Film film = read_video(in("0.mp4"));
  const auto indices = spaced_frames({0, 20}, 8);
  const Box box = largest_box(32, 48, 16, 16);
  Bytes part(32 * 32 * 3), small(16 * 16 * 3);
  for (Index k = 0; k < 8; ++k) {
    crop(film.frame(indices[std::size_t(k)]), 32, 48, box, part.data(), 3);
    resize(part.data(), 32, 32, small.data(), 16, 16, 3, Resize::area);
    EXPECT_TRUE(std::equal(small.begin(), small.end(), clip.film.frame(k))) << k;
  }
  options.flip = 1;
  Clip mirrored = VideoFolder(folder.string(), options).at(0, 0).value();
  for (Index k = 0; k < 8; ++k) flip(mirrored.film.frame(k), 16, 16, 3);
  EXPECT_TRUE(mirrored.film.rgb == clip.film.rgb);
}

TEST_F(Folder, GivesUpOnlyIfNothingCanBeRead) {
  put("captions.tsv", "file\tcaption\nbroken.mp4\ta\nmissing.mp4\tb\n");
  VideoFolder videos(folder.string(), options, collect());
  EXPECT_NE(message<FileError>([&] { videos.next(); }).find("not one of 2 clips"), std::string::npos);
  EXPECT_EQ(reports.size(), 2u);
  put("captions.tsv", "file\tcaption\n");
  EXPECT_THROW(VideoFolder(folder.string(), options), ConfigError);
  fs::remove(in("captions.tsv"));
  EXPECT_THROW(VideoFolder(folder.string(), options), FileError);
}

}  // namespace
