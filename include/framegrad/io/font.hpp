// A bitmap font of 5×7 pixels for printable ASCII, to write into pictures.
//
// A glyph is 35 bits: seven rows from the top, each of five pixels, the leftmost in the highest bit. Other bytes show as '?'.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include <framegrad/io/film.hpp>

namespace fg::inline FRAMEGRAD_ABI::font {

inline constexpr Index kWidth = 5, kHeight = 7;
inline constexpr Index kAdvance = 6, kLine = 10;  // pixels from one letter to the next, from one line to the next

inline constexpr std::array<std::uint64_t, 95> kGlyphs = {
    0x000000000, 0x108421004, 0x294a00000, 0x295f57d4a, 0x11f4717c4, 0x632222263, 0x32544564d, 0x108800000,  //  !"#$%&'
    0x088842082, 0x208210888, 0x009575480, 0x0084f9080, 0x000003088, 0x0000f8000, 0x00000018c, 0x002222200,  // ()*+,-./
    0x3a33ae62e, 0x11842108e, 0x3a211111f, 0x7c441062e, 0x08ca97c42, 0x7e1e0862e, 0x1910f462e, 0x7c2222108,  // 01234567
    0x3a317462e, 0x3a317844c, 0x018c03180, 0x018c03088, 0x088882082, 0x001f07c00, 0x208208888, 0x3a2111004,  // 89:;<=>?
    0x3a37ade0e, 0x3a31fc631, 0x7a31f463e, 0x3a308422e, 0x72518c65c, 0x7e10f421f, 0x7e10f4210, 0x3a30bc62f,  // @ABCDEFG
    0x4631fc631, 0x38842108e, 0x1c4210a4c, 0x4654c5251, 0x42108421f, 0x4775ac631, 0x4639ace31, 0x3a318c62e,  // HIJKLMNO
    0x7a31f4210, 0x3a318d64d, 0x7a31f5251, 0x3e107043e, 0x7c8421084, 0x46318c62e, 0x46318c544, 0x4631ad771,  // PQRSTUVW
    0x462a22a31, 0x462a21084, 0x7c222221f, 0x39084210e, 0x020820820, 0x38421084e, 0x115100000, 0x00000001f,  // XYZ[\ ]^_
    0x208200000, 0x000e0be2f, 0x4216cc63e, 0x000e8422e, 0x042d9c62f, 0x000e8fe0e, 0x1928e2108, 0x01f18bc2e,  // `abcdefg
    0x4216cc631, 0x100c2108e, 0x080610a4c, 0x4212a6292, 0x30842108e, 0x001aad631, 0x0016cc631, 0x000e8c62e,  // hijklmno
    0x001e8fa10, 0x000d9bc21, 0x0016cc210, 0x000e8383e, 0x211c42126, 0x00118c66d, 0x00118c544, 0x00118d6aa,  // pqrstuvw
    0x001151151, 0x00118bc2e, 0x001f1111f, 0x088441082, 0x108421084, 0x208411088, 0x0008a8800,  // xyz{|}~
};

/// Draws one line of text into a frame, its upper left corner at (x, y), each pixel as scale×scale; what lies outside is left out.
inline void draw(Film& film, Index t, Index y, Index x, std::string_view text, Rgb color, Index scale = 1) {
  for (const char letter : text) {
    const std::uint64_t glyph = kGlyphs[std::size_t((letter >= 32 && letter < 127 ? letter : '?') - 32)];
    for (Index v = 0; v < kHeight * scale; ++v)
      for (Index u = 0; u < kWidth * scale; ++u) {
        const bool inked = glyph >> (34 - (v / scale) * kWidth - u / scale) & 1;
        if (inked && y + v >= 0 && y + v < film.height && x + u >= 0 && x + u < film.width) film.set(t, y + v, x + u, color);
      }
    x += kAdvance * scale;
  }
}

/// Lines of at most `letters` letters, broken at spaces; a longer word is cut.
inline std::vector<std::string> wrapped(std::string_view text, Index letters) {
  const auto most = std::size_t(std::max<Index>(1, letters));
  std::vector<std::string> lines;
  while (text.size() > most) {
    const std::size_t space = text.rfind(' ', most);
    const std::size_t cut = space == std::string_view::npos || space == 0 ? most : space;
    lines.emplace_back(text.substr(0, cut));
    text.remove_prefix(cut);
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  }
  if (!text.empty()) lines.emplace_back(text);
  return lines;
}

}  // namespace fg::inline FRAMEGRAD_ABI::font
