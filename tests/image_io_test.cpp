// Pictures in and out: films, PNG, GIF, contact sheets, curves, and files that are replaced as a whole.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>
#include <limits>

#include <framegrad/core/philox.hpp>
#include <framegrad/io/contact_sheet.hpp>
#include <framegrad/io/curve.hpp>
#include <framegrad/io/gif.hpp>

namespace {

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

std::string content(const std::string& path) {
  const Bytes bytes = fg::read_file(path);
  return {bytes.begin(), bytes.end()};
}

Film noise(Index frames, Index height, Index width, std::uint64_t seed) {
  Film film = Film::filled(frames, height, width);
  for (std::size_t i = 0; i < film.rgb.size(); ++i) film.rgb[i] = std::uint8_t(fg::Philox(seed).bits(0, 0, i));
  return film;
}

/// Few colors, large areas, a slope.
Film drawing(Index frames, Index height, Index width) {
  Film film = Film::filled(frames, height, width, {20, 20, 30});
  for (Index t = 0; t < frames; ++t)
    for (Index y = 0; y < height; ++y)
      for (Index x = 0; x < width; ++x)
        if ((x + t) / 5 % 2 == y / 7 % 2) film.set(t, y, x, {std::uint8_t(x * 6 % 120), 200, std::uint8_t(y / 12)});
  return film;
}

Bytes from_hex(std::string_view hex) {
  Bytes bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) bytes.push_back(std::uint8_t(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return bytes;
}

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

TEST_F(ImageIo, PngComesBack) {
  for (const Film& film : {noise(1, 1, 1, 1), noise(1, 3, 5, 2), noise(1, 70, 90, 3), drawing(1, 64, 50), Film::filled(1, 300, 700, {9, 8, 7})}) {
    fg::write_png(path("a.png"), film);
    const Film back = fg::read_png(path("a.png"));
    EXPECT_EQ(back.height, film.height);
    EXPECT_EQ(back.width, film.width);
    EXPECT_EQ(back.rgb, film.rgb);
  }
  const Film film = drawing(3, 20, 20);
  const Film last = fg::decode_png(fg::encode_png(film, 2));
  EXPECT_TRUE(std::equal(last.rgb.begin(), last.rgb.end(), film.frame(2)));
  EXPECT_LT(fg::encode_png(Film::filled(1, 300, 700)).size(), 5000u);  // 630,000 bytes of one color
  EXPECT_THROW(fg::write_png(path("a.png"), film, 3), fg::ShapeError);
}

// Written by Python's zlib: dynamic codes, the data in two chunks, each of the five filters.
constexpr std::string_view kGray =
    "89504e470d0a1a0a0000000d49484452000000300000000f0800000000874513230000000374455874610062dc49a23b000000d24944415478da95522170e33010"
    "549a9042d140d1c07b18788185126c990cfb4c812d5360c364f86612fc30999ac9d45034d0d4f04faefd333ff3055d9dc623cf9d76d76bc618e302a47191a38942"
    "7b61928ce8314a66211a484e038bce688940d8000d702e8438d1a942aca43ceb8bbe98da041b826b5bdff77d8e7924d0ed0fced1bb02f7b9e75ad752edda43d886"
    "a6d9eff7c420dac3013a80fef88238607eca677997e3f8aea7e9f2cad82381b4ecec2ce9440356e5d156a33ddb0b0f3c085264031184def7211749892431ef7d4c"
    "4ca0b6e4da263837ffbe000000d34944415430099db0dc702b3cd946563c7bab11042ffd1b5c4c9fc457a689a0cf39aea6d937b1b500c7e3cb30203efdcc74bb7c"
    "7e7f26027d7dbd9aba364df3b60fc10a712b9fa8ebba5da161e934fe17298ca9a547bf1c4b6f310064d927218be7089669ca5a26cd1d2672ed0df2e46d899ab0a1"
    "a91f73d2420120b93e4b5924d5a626cf9642a3a07dce7f93aeaa0a67549f7bae752d856b0f617bbfdf69749a267d65ccd48fa6e16f25b2dbc7ad3db4aeeb7e1143"
    "ff7b18882453f3ee9f9f4f2128094ad332ca64c8ca8dca931015f922e90f2e6f3d9a30fa9e5f0000000049454e44ae426082";
constexpr std::string_view kRgba =
    "89504e470d0a1a0a0000000d49484452000000070000000608060000000f0e84760000000374455874610062dc49a23b000000404944415478da6dcd210e834014"
    "45d14b5b832909216908c9a462442b3008148b408f6611b383ee00cd2266116c831da0bfeaa3aa829f1cf572f341f70237c210212c105725b2d0bf000000404944"
    "415498774819dd31e6eecce518e97229a5112fadf45c99a0aacba2aa1fd2c853bcbc8bdbaf44252a5189ff63fa69ad1b2d0cd13e61b11457dbe6ddeee90be8cd1c"
    "86b1b108c60000000049454e44ae426082";

TEST(Png, FilesOfOthersAreRead) {
  const Film gray = fg::decode_png(from_hex(kGray));
  ASSERT_EQ(gray.height, 15);
  ASSERT_EQ(gray.width, 48);
  for (Index y = 0; y < 15; ++y)
    for (Index x = 0; x < 48; ++x) {
      const auto v = std::uint8_t((x * x / 7 + 3 * y * y) % 13 * 17);
      ASSERT_EQ(gray.at(0, y, x), (Rgb{v, v, v}));
    }
  const Film rgba = fg::decode_png(from_hex(kRgba));
  for (Index y = 0; y < 6; ++y)
    for (Index x = 0; x < 7; ++x) ASSERT_EQ(rgba.at(0, y, x), (Rgb{std::uint8_t(x * 40), std::uint8_t(y * 50), std::uint8_t(x * y * 9)}));
}

TEST(Png, DamagedFilesAreRefused) {
  const Bytes good = from_hex(kGray);
  for (std::size_t n = 0; n < good.size(); ++n) EXPECT_THROW(fg::decode_png(std::span(good).first(n)), fg::FileError) << n;
  for (std::size_t i = 0; i < good.size(); ++i) {  // every chunk has a checksum
    Bytes bad = good;
    bad[i] ^= 0x10;
    EXPECT_THROW(fg::decode_png(bad), fg::FileError) << i;
  }
}

/// A PNG whose checksums are right, whatever it claims.
Bytes png_of(std::uint32_t width, std::uint32_t height, int depth, int color, int interlaced, const Bytes& data) {
  using namespace fg::detail::png;
  Bytes out(kSignature.begin(), kSignature.end()), header;
  append_word(header, width);
  append_word(header, height);
  for (const int v : {depth, color, 0, 0, interlaced}) header.push_back(std::uint8_t(v));
  append_chunk(out, "IHDR", header);
  append_chunk(out, "IDAT", data);
  append_chunk(out, "IEND", {});
  return out;
}

TEST(Png, LiesInAHeaderAreRefusedBeforeMemoryIsTaken) {
  const Bytes two_rows = fg::zlib_compress(Bytes(2 * (1 + 6), 0));
  EXPECT_EQ(fg::decode_png(png_of(2, 2, 8, 2, 0, two_rows)).at(0, 1, 1), (Rgb{0, 0, 0}));
  EXPECT_THROW(fg::decode_png(png_of(1 << 20, 1 << 20, 8, 6, 0, two_rows)), fg::FileError);
  EXPECT_THROW(fg::decode_png(png_of(0, 2, 8, 2, 0, two_rows)), fg::FileError);
  EXPECT_THROW(fg::decode_png(png_of(0xffffffff, 2, 8, 2, 0, two_rows)), fg::FileError);
  EXPECT_THROW(fg::decode_png(png_of(2, 3, 8, 2, 0, two_rows)), fg::FileError);
  EXPECT_THROW(fg::decode_png(png_of(2, 1, 8, 2, 0, two_rows)), fg::FileError);
  EXPECT_THROW(fg::decode_png(png_of(2, 2, 16, 2, 0, two_rows)), fg::FileError);
  EXPECT_THROW(fg::decode_png(png_of(2, 2, 8, 3, 0, two_rows)), fg::FileError);
  EXPECT_THROW(fg::decode_png(png_of(2, 2, 8, 2, 1, two_rows)), fg::FileError);
  EXPECT_THROW(fg::decode_png(png_of(2, 2, 8, 2, 0, fg::zlib_compress(Bytes(14, 5)))), fg::FileError);  // filter 5
}

TEST(Deflate, AnyBytesComeBack) {
  for (const std::size_t n : {0u, 1u, 2u, 3u, 258u, 259u, 70000u}) {
    Bytes same(n, 7), random(n), mixed(n);
    for (std::size_t i = 0; i < n; ++i) {
      random[i] = std::uint8_t(fg::Philox(3).bits(0, 0, i));
      mixed[i] = i % 33000 < 500 ? random[i % 33000] : std::uint8_t(i / 100);  // matches from just within and beyond the window
    }
    for (const Bytes& bytes : {same, random, mixed}) EXPECT_EQ(fg::zlib_decompress(fg::zlib_compress(bytes), n, "test"), bytes);
  }
}

TEST(Deflate, DamageIsRefusedOrHarmless) {
  const Bytes good = fg::zlib_compress(drawing(1, 20, 20).rgb);
  int refused = 0;
  for (std::uint64_t trial = 0; trial < 4000; ++trial) {
    const fg::Philox draw(trial);
    Bytes bad = good;
    for (std::uint64_t k = 0; k <= draw.bits(0, 0, 0) % 3; ++k)
      bad[2 + draw.bits(1, 0, k) % (bad.size() - 2)] ^= std::uint8_t(1 + draw.bits(2, 0, k) % 255);
    if (trial % 4 == 0) bad[2] = std::uint8_t((bad[2] & ~6) | 4);  // as a block with dynamic codes
    try {
      EXPECT_EQ(fg::zlib_decompress(bad, 1200, "test"), drawing(1, 20, 20).rgb);  // two changes may undo each other
    } catch (const fg::FileError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 3900);
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
