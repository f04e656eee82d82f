// psnr — peak signal-to-noise ratio of two films, in dB.
//
//   PSNR = 10·log₁₀(255² / MSE)     over all pixels and channels of 8 bits; infinite for equal films
#pragma once

#include <cmath>
#include <limits>

#include <framegrad/io/film.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// a and b of the same extents → dB. Throws ShapeError.
inline double psnr(const Film& a, const Film& b) {
  a.validate(), b.validate();
  check_shape(a.frames == b.frames && a.height == b.height && a.width == b.width, "psnr", a.frames, "x", a.height, "x", a.width, " against ", b.frames, "x", b.height, "x",
              b.width);
  double squares = 0;
  for (std::size_t i = 0; i < a.rgb.size(); ++i) {
    const double d = double(a.rgb[i]) - double(b.rgb[i]);
    squares += d * d;
  }
  return squares == 0 ? std::numeric_limits<double>::infinity() : 10 * std::log10(255.0 * 255.0 * double(a.rgb.size()) / squares);
}

}  // namespace fg::inline FRAMEGRAD_ABI
