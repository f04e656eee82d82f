// Pictures in and out: films, GIF, contact sheets, curves, and files that are replaced as a whole.
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <limits>

#include <framegrad/io/contact_sheet.hpp>
#include <framegrad/io/curve.hpp>
#include <framegrad/io/gif.hpp>

#include "image_fixture.hpp"

namespace {

TEST(FilmOf, FloatsAreRoundedAndClamped) {
  EXPECT_EQ(fg::pixel_from_float(-1), 0);
  EXPECT_EQ(fg::pixel_from_float(0), 128);
  EXPECT_EQ(fg::pixel_from_float(1), 255);
  EXPECT_EQ(fg::pixel_from_float(-7), 0);
  EXPECT_EQ(fg::pixel_from_float(7), 255);
  EXPECT_EQ(fg::pixel_from_float(std::numeric_limits<float>::infinity()), 255);
  EXPECT_EQ(fg::pixel_from_float(std::numeric_limits<float>::quiet_NaN()), 0);
  for (int u = 0; u < 256; ++u) EXPECT_EQ(fg::pixel_from_float(fg::float_from_pixel(std::uint8_t(u))), u);
}

TEST(FilmOf, PlanarNumbersComeBack) {
  const Film film = noise(3, 5, 4, 1);
  std::vector<float> planar(std::size_t(film.bytes()));
  fg::film_to_planar(film, planar.data());
  EXPECT_EQ(planar[std::size_t((2 * 3 + 1) * 20 + 2 * 4 + 3)], fg::float_from_pixel(film.at(1, 2, 3).b));  // [C, T, H, W]
  EXPECT_EQ(fg::film_from_planar(planar.data(), 3, 5, 4).rgb, film.rgb);
}

TEST(FilmOf, AccessIsChecked) {
  Film film = Film::filled(2, 3, 4);
  EXPECT_THROW(film.at(2, 0, 0), fg::ShapeError);
  EXPECT_THROW(film.at(0, -1, 0), fg::ShapeError);
  EXPECT_THROW(film.set(0, 0, 4, {}), fg::ShapeError);
  EXPECT_THROW(film.frame(2), fg::ShapeError);
  film.rgb.pop_back();
  EXPECT_THROW(film.validate(), fg::ShapeError);
  EXPECT_THROW(film.at(1, 2, 3), fg::ShapeError);
  EXPECT_THROW(Film::filled(0, 3, 4), fg::ShapeError);
  EXPECT_THROW(Film::filled(1 << 20, 1 << 20, 1 << 20), fg::ShapeError);
}

TEST_F(ImageIo, AFileIsReplacedAsAWhole) {
  fg::write_file_atomically(path("a"), std::string("first"));
  fg::write_file_atomically(path("a"), [](fg::FileSink& sink) {
    sink.write("sec");
    sink.write(std::string(200000, '.'));
    sink.write("ond");
  });
  EXPECT_EQ(content(path("a")), "sec" + std::string(200000, '.') + "ond");
  fg::write_file_atomically(path("a"), std::vector<std::uint16_t>{0x6161, 0x6262});
  EXPECT_EQ(content(path("a")), "aabb");
  EXPECT_EQ(files(), 1);
}

TEST_F(ImageIo, AWriterThatFailsLeavesTheOldFile) {
  fg::write_file_atomically(path("a"), std::string("old"));
  EXPECT_THROW(fg::write_file_atomically(path("a"), [](fg::FileSink& sink) {
    sink.write("new");
    throw std::runtime_error("no more");
  }), std::runtime_error);
  EXPECT_EQ(content(path("a")), "old");
  EXPECT_EQ(files(), 1);
  EXPECT_THROW(fg::write_file_atomically(path("missing/a"), std::string("x")), fg::FileError);
  EXPECT_THROW(fg::read_file(path("missing")), fg::FileError);
  EXPECT_THROW(fg::read_file(path("a"), 2), fg::FileError);
}

TEST_F(ImageIo, ADiskWithoutRoomIsAnErrorAndLeavesTheOldFile) {
  fg::write_file_atomically(path("a"), std::string("old"));
  // A limit on the size of files stands in for a full disk: write returns fewer bytes, then fails.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{100000, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_THROW(fg::write_file_atomically(path("a"), std::string(300000, 'x')), fg::FileError);
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(content(path("a")), "old");
  EXPECT_EQ(files(), 1);
}

TEST_F(ImageIo, AProcessKilledWhileWritingLeavesTheOldFile) {
  fg::write_file_atomically(path("a"), std::string("old"));
  const pid_t child = ::fork();
  if (child == 0) {
    fg::write_file_atomically(path("a"), [](fg::FileSink& sink) {
      sink.write(std::string(300000, 'x'));
      ::kill(::getpid(), SIGKILL);
    });
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(content(path("a")), "old");
}

/// A reader of the animations that encode_gif writes: frames of indices through the palette, and the delays.
struct ReadGif {
  Film film;
  std::vector<int> delays;
  bool loops = false;

  explicit ReadGif(const Bytes& b) {
    const auto at16 = [&](std::size_t i) { return Index(b.at(i)) + 256 * Index(b.at(i + 1)); };
    EXPECT_EQ(std::string(b.begin(), b.begin() + 6), "GIF89a");
    film = Film{0, at16(8), at16(6), {}};
    std::size_t at = 13 + 768;
    while (b.at(at) != 0x3b) {
      if (b[at] == 0x21) {
        loops = loops || b[at + 1] == 0xff;
        if (b[at + 1] == 0xf9) delays.push_back(int(at16(at + 4)));
        for (at += 2; b.at(at) != 0; at += b[at] + 1u) {}
        ++at;
        continue;
      }
      EXPECT_EQ(b[at], 0x2c);
      EXPECT_EQ(b.at(at + 10), 8);
      Bytes codes;
      for (at += 11; b.at(at) != 0; at += b[at] + 1u) codes.insert(codes.end(), b.begin() + long(at) + 1, b.begin() + long(at) + 1 + b[at]);
      ++at;
      for (const std::uint8_t index : indices(codes)) film.rgb.insert(film.rgb.end(), &b[13 + 3u * index], &b[13 + 3u * index] + 3);
      ++film.frames;
    }
    EXPECT_EQ(at + 1, b.size());
  }

  static Bytes indices(const Bytes& codes) {
    std::vector<Bytes> table;
    Bytes out, last;
    unsigned held = 0, width = 9;
    int count = 0;
    for (std::size_t i = 0;;) {
      for (; count < int(width); count += 8) held |= unsigned(codes.at(i++)) << count;
      const unsigned code = held & ((1u << width) - 1);
      held >>= width, count -= int(width);
      if (code == 257) return out;
      if (code == 256) {
        table.assign(258, {});
        for (unsigned k = 0; k < 256; ++k) table[k] = {std::uint8_t(k)};
        width = 9, last.clear();
        continue;
      }
      Bytes string = code < table.size() ? table.at(code) : last;
      if (code == table.size()) string.push_back(last.at(0));
      if (!last.empty() && table.size() < 4096) {
        last.push_back(string.at(0));
        table.push_back(last);
        if (table.size() == (1u << width) && width < 12) ++width;
      }
      out.insert(out.end(), string.begin(), string.end());
      last = string;
    }
  }
};

TEST(Gif, FilmsOfFewColorsComeBackExactly) {
  for (const Film& film : {drawing(5, 60, 33), Film::filled(2, 1, 1, {1, 2, 3}), fg::enlarged(drawing(2, 20, 20), 9)}) {
    const ReadGif read(fg::encode_gif(film, 12));
    EXPECT_EQ(read.film.frames, film.frames);
    EXPECT_EQ(read.film.rgb, film.rgb);
    EXPECT_TRUE(read.loops);
  }
}

TEST(Gif, ManyColorsAreNearAndTheTableMayFill) {
  Film film = noise(2, 120, 100, 5);  // 12,000 pixels without order fill the table of 4096 strings several times
  for (auto& byte : film.rgb) byte = std::uint8_t(100 + byte / 8);
  const ReadGif read(fg::encode_gif(film));
  ASSERT_EQ(read.film.rgb.size(), film.rgb.size());
  double error = 0;
  for (std::size_t i = 0; i < film.rgb.size(); ++i) error += std::abs(int(film.rgb[i]) - int(read.film.rgb[i]));
  EXPECT_LT(error / double(film.rgb.size()), 3);  // a range of 32 a channel in at most 5 cells of 8: 2 on average within one
}

TEST(Gif, DelaysAddUpToTheRate) {
  const auto delays = ReadGif(fg::encode_gif(Film::filled(24, 2, 2), 24)).delays;
  ASSERT_EQ(delays.size(), 24u);
  int sum = 0;
  for (const int d : delays) sum += d;
  EXPECT_EQ(sum, 100);
  EXPECT_THROW(fg::encode_gif(Film::filled(1, 2, 2), 0), fg::ConfigError);
  EXPECT_THROW(fg::encode_gif(Film::filled(1, 1, 65536)), fg::ShapeError);
}

TEST_F(ImageIo, AContactSheetShowsFirstAndLastFramesAndWords) {
  Film film = Film::filled(16, 10, 12);
  for (Index t = 0; t < 16; ++t)
    for (Index y = 0; y < 10; ++y)
      for (Index x = 0; x < 12; ++x) film.set(t, y, x, {std::uint8_t(10 * t), 0, 0});
  const fg::SheetOptions options{.frames = 4, .scale = 3, .text_scale = 1};
  const Film page = fg::contact_sheet({{film, "a film with words"}, {film, ""}}, options);
  const Index margin = 12, step = 12 * 3 + 3;
  for (const auto& [k, t] : {std::pair{0, 0}, {1, 5}, {2, 10}, {3, 15}}) EXPECT_EQ(page.at(0, margin + 29, margin + k * step).r, 10 * t);
  EXPECT_EQ(page.at(0, margin, margin + 36), options.paper);
  int ink = 0;
  for (Index y = margin + 30; y < page.height; ++y)
    for (Index x = 0; x < page.width; ++x) ink += page.at(0, y, x) == options.ink;
  EXPECT_GT(ink, 100);
  fg::write_contact_sheet(path("sheet.png"), {{film, "a film"}}, options);
  EXPECT_EQ(fg::read_png(path("sheet.png")).rgb, fg::contact_sheet({{film, "a film"}}, options).rgb);
  EXPECT_THROW(fg::contact_sheet({}), fg::ShapeError);
  EXPECT_THROW(fg::contact_sheet({{Film{}, "nothing"}}), fg::ShapeError);
}

TEST(Font, LinesBreakAtSpacesAndGlyphsDiffer) {
  EXPECT_EQ(fg::font::wrapped("a large red circle", 11), (std::vector<std::string>{"a large red", "circle"}));
  EXPECT_EQ(fg::font::wrapped("abcdefgh i", 3), (std::vector<std::string>{"abc", "def", "gh", "i"}));
  EXPECT_TRUE(fg::font::wrapped("", 5).empty());
  for (std::size_t i = 0; i < fg::font::kGlyphs.size(); ++i)
    for (std::size_t k = 0; k < i; ++k) EXPECT_NE(fg::font::kGlyphs[i], fg::font::kGlyphs[k]);
  Film film = Film::filled(1, 4, 4);
  fg::font::draw(film, 0, -3, -2, "W\xc3\xa4", {255, 255, 255});  // partly outside, and bytes that are not ASCII
}

TEST(Curves, ShowWhatCanBeShown) {
  fg::Curve loss{"loss <1> & more", {}, {}};
  for (int i = 0; i < 50000; ++i) {
    loss.x.push_back(i);
    loss.y.push_back(i == 20000 ? std::nan("") : i == 30000 ? -1 : 1.0 / (1 + i));
  }
  const std::string svg = fg::curve_svg({loss}, {.title = "a \"title\""});
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  EXPECT_NE(svg.find("loss &lt;1&gt; &amp; more"), std::string::npos);
  EXPECT_NE(svg.find("<polyline"), std::string::npos);
  EXPECT_LT(svg.size(), 100000u);
  for (const bool log_y : {false, true}) {
    const fg::CurveOptions options{.log_y = log_y};
    EXPECT_NE(fg::curve_svg({}, options).find("</svg>"), std::string::npos);
    for (const double y : {0.0, 5.0, -2.0, 1e-30}) EXPECT_EQ(fg::curve_svg({{"", {3}, {y}}}, options).find("nan"), std::string::npos);
  }
  EXPECT_THROW(fg::curve_svg({{"", {1, 2}, {1}}}), fg::ConfigError);
}

TEST_F(ImageIo, ACurveIsWritten) {
  fg::write_curve(path("loss.svg"), {{"loss", {1, 2, 3}, {3, 2, 1}}});
  EXPECT_EQ(content(path("loss.svg")).substr(0, 4), "<svg");
}

}  // namespace
