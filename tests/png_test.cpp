// PNG and the compression in it: files come back, those of others are read, damaged and lying ones are refused.
#include <framegrad/io/png.hpp>

#include "image_fixture.hpp"

namespace {

Bytes from_hex(std::string_view hex) {
  Bytes bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) bytes.push_back(std::uint8_t(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return bytes;
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

}  // namespace
