// Which frames make a clip and how they are resized; caption lists. None of it needs FFmpeg.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>

#include <framegrad/data/captions.hpp>
#include <framegrad/data/frames.hpp>

namespace {

using namespace fg;
using Bytes = std::vector<std::uint8_t>;

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

}  // namespace
