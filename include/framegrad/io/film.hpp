// Film — frames of 8-bit RGB pixels: what every reader and writer of pictures speaks, and every data set.
//
//   uint8 from [-1, 1]:  u = ⌊255·(x + 1)/2 + ½⌋, clamped to 0…255       x = 2·u/255 − 1 back
//
// Axes: T frames, H×W pixels. A still is a film of one frame. Planar means [3, T, H, W], as networks take it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include <framegrad/core/error.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// 8 bits a channel.
struct Rgb {
  std::uint8_t r = 0, g = 0, b = 0;
  bool operator==(const Rgb&) const = default;
};

struct Film {
  Index frames = 0, height = 0, width = 0;
  std::vector<std::uint8_t> rgb;  // [T, H, W, 3]

  /// A film of one colour. Throws ShapeError unless every extent is positive and the film has fewer than 2^40 bytes.
  static Film filled(Index frames, Index height, Index width, Rgb color = {}) {
    Film film{frames, height, width, {}};
    film.check_extents();
    film.rgb.resize(std::size_t(film.bytes()));
    for (std::size_t i = 0; i < film.rgb.size(); i += 3) film.rgb[i] = color.r, film.rgb[i + 1] = color.g, film.rgb[i + 2] = color.b;
    return film;
  }

  Index bytes() const { return frames * height * width * 3; }
  Index frame_bytes() const { return height * width * 3; }

  /// Throws ShapeError unless the extents are positive and `rgb` has T·H·W·3 bytes. Writers call it first.
  void validate() const {
    check_extents();
    check_shape(Index(rgb.size()) == bytes(), "film", rgb.size(), " bytes, ", frames, "x", height, "x", width, "x3 needs ", bytes());
  }

  /// First byte of a frame [H, W, 3].
  std::uint8_t* frame(Index t) { return rgb.data() + offset(t, 0, 0); }
  const std::uint8_t* frame(Index t) const { return rgb.data() + offset(t, 0, 0); }

  Rgb at(Index t, Index y, Index x) const {
    const auto* p = rgb.data() + offset(t, y, x);
    return {p[0], p[1], p[2]};
  }
  void set(Index t, Index y, Index x, Rgb c) {
    auto* p = rgb.data() + offset(t, y, x);
    p[0] = c.r, p[1] = c.g, p[2] = c.b;
  }

 private:
  void check_extents() const {
    constexpr Index kSide = Index(1) << 20;
    check_shape(frames > 0 && height > 0 && width > 0 && frames <= kSide && height <= kSide && width <= kSide &&
                    double(frames) * double(height) * double(width) * 3 < 0x1p40,
                "film", frames, " frames of ", height, "x", width, " pixels, each extent needs to be in 1…2^20 and all in 2^40 bytes");
  }
  Index offset(Index t, Index y, Index x) const {
    check_shape(t >= 0 && t < frames && y >= 0 && y < height && x >= 0 && x < width, "film", "pixel (", t, ", ", y, ", ", x, ") of ",
                frames, " frames of ", height, "x", width);
    const Index at = ((t * height + y) * width + x) * 3;
    check_shape(at + 3 <= Index(rgb.size()), "film", rgb.size(), " bytes, ", frames, "x", height, "x", width, "x3 needs ", bytes());
    return at;
  }
};

/// [-1, 1] → 0…255. NaN gives 0.
inline std::uint8_t pixel_from_float(float x) {
  const float v = 127.5f * (x + 1.0f) + 0.5f;
  return v >= 255.0f ? 255 : v >= 0.0f ? std::uint8_t(v) : 0;
}
/// 0…255 → [-1, 1].
inline float float_from_pixel(std::uint8_t u) { return float(u) / 127.5f - 1.0f; }

/// film [T, H, W, 3] → planar [3, T, H, W] in [-1, 1]; `planar` has room for film.bytes() numbers.
template <class T>
void film_to_planar(const Film& film, T* planar) {
  film.validate();
  const Index pixels = film.frames * film.height * film.width;
  const std::uint8_t* p = film.rgb.data();
  for (Index i = 0; i < pixels; ++i)
    for (Index c = 0; c < 3; ++c) planar[c * pixels + i] = T(float_from_pixel(p[3 * i + c]));
}

/// planar [3, T, H, W] in [-1, 1], clamped → film [T, H, W, 3].
template <class T>
Film film_from_planar(const T* planar, Index frames, Index height, Index width) {
  Film film = Film::filled(frames, height, width);
  const Index pixels = frames * height * width;
  for (Index i = 0; i < pixels; ++i)
    for (Index c = 0; c < 3; ++c) film.rgb[std::size_t(3 * i + c)] = pixel_from_float(float(planar[c * pixels + i]));
  return film;
}

}  // namespace fg::inline FRAMEGRAD_ABI
