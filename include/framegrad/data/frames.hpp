// Which frames of a video become a clip, and how a frame becomes the size that a network wants.
//
//   frames    a window of w = N·interval frames from a random start; of it N, evenly spaced:
//             index i = ⌊start + i·(end − 1 − start)/(N − 1)⌋
//   bilinear  PyTorch's `interpolate` without anti-aliasing: the two nearest pixels about x = (i + ½)·s − ½
//   area      each output pixel is the mean of the area that it covers: the choice for making small ones
//   box, bicubic   Pillow's: the filter is widened by s when shrinking, sampled at pixel centres (bicubic: a = −½)
//
// Here s = input size/output size. Pictures are [H, W, C] of uint8 or float; sums are in float. Sampling and sizes as
// Open-Sora 1.0 has them (hpcaitech/Open-Sora, tag v1.0, opensora/datasets).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <framegrad/core/error.hpp>

namespace fg::inline FRAMEGRAD_ABI {

/// Frames begin, …, end − 1 of a video.
struct FrameWindow {
  Index begin = 0, end = 0;
};

/// A window of frames·interval frames, or all if there are fewer, that begins at one of the places that fit; `bits` are 32 random
/// ones. Throws ConfigError if the video has fewer frames than wanted.
inline FrameWindow frame_window(Index total, Index frames, Index interval, std::uint32_t bits) {
  check<ConfigError>(frames > 0 && interval > 0, "frame_window", frames, " frames at interval ", interval);
  check<ConfigError>(total >= frames, "frame_window", "the video has ", total, " frames, needed are ", frames);
  const Index window = frames * interval;
  const Index last_start = std::max<Index>(0, total - window - 1);
  const auto start = Index((std::uint64_t(bits) * std::uint64_t(last_start + 1)) >> 32);
  return {start, std::min(start + window, total)};
}

/// Indices of `frames` evenly spaced frames of a window, both ends included, rounded down.
inline std::vector<Index> spaced_frames(FrameWindow window, Index frames) {
  check<ConfigError>(frames > 0 && window.begin >= 0 && window.begin < window.end, "spaced_frames", frames, " frames of [",
                     window.begin, ", ", window.end, ")");
  std::vector<Index> indices(static_cast<std::size_t>(frames), window.begin);
  for (Index i = 1; i < frames; ++i)
    indices[std::size_t(i)] += i * (window.end - 1 - window.begin) / (frames - 1);
  return indices;
}

enum class Resize { bilinear, area, box, bicubic };
enum class Crop { centre, left, right };

inline Crop crop_of(std::string_view name) {
  if (name == "centre" || name == "center" || name.empty()) return Crop::centre;
  if (name == "left") return Crop::left;
  check<ConfigError>(name == "right", "crop", "\"", name, "\", known are centre, left and right");
  return Crop::right;
}

/// A part of a picture, in pixels.
struct Box {
  Index top = 0, left = 0, height = 0, width = 0;
};

/// Where half a pixel goes when the margins of a centred crop can't be equal.
enum class HalfPixel { down, even };   // as for images; as for video, torchvision's way

/// The part of [H, W] with the given size: across as `crop` says, centred from top to bottom. Throws ShapeError if it doesn't fit.
inline Box crop_box(Index H, Index W, Index height, Index width, Crop crop = Crop::centre, HalfPixel half = HalfPixel::even) {
  check_shape(height > 0 && width > 0 && height <= H && width <= W, "crop", height, "x", width, " of a picture of ", H, "x", W);
  const auto middle = [&](Index space) { return space / 2 + (half == HalfPixel::even && space % 4 == 3 ? 1 : 0); };
  const Index left = crop == Crop::left ? 0 : crop == Crop::right ? W - width : middle(W - width);
  return {middle(H - height), left, height, width};
}

/// The largest part of [H, W] that has the proportions of height:width.
inline Box largest_box(Index H, Index W, Index height, Index width, Crop crop = Crop::centre) {
  check_shape(H > 0 && W > 0 && height > 0 && width > 0, "crop", height, "x", width, " of a picture of ", H, "x", W);
  const bool wide = W * height > H * width;   // wider than wanted: full height
  const Index h = wide ? H : std::clamp<Index>((W * height + width / 2) / width, 1, H);
  const Index w = wide ? std::clamp<Index>((H * width + height / 2) / height, 1, W) : W;
  return crop_box(H, W, h, w, crop);
}

namespace detail {

/// Output i is Σ weight[k]·input[first + k], k < count; one row of weights an output.
struct Taps {
  Index count = 0;
  std::vector<Index> first;
  std::vector<float> weight;
};

inline double cubic(double x) {   // Keys 1981, a = −½
  x = std::abs(x);
  return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

inline double tap_weight(Resize how, double s, double centre, Index k) {
  const double widened = std::max(s, 1.0), x = (double(k) + 0.5 - centre) / widened;
  switch (how) {
    case Resize::bilinear: return std::max(0.0, 1 - std::abs(double(k) + 0.5 - centre));
    case Resize::area: return std::max(0.0, std::min(double(k + 1), centre + s / 2) - std::max(double(k), centre - s / 2));
    case Resize::box: return x > -0.5 && x <= 0.5 ? 1 : 0;
    default: return cubic(x);
  }
}

inline Taps taps(Resize how, Index in, Index out, double s) {
  const double radius = how == Resize::bilinear  ? 1
                        : how == Resize::area    ? s / 2
                        : how == Resize::bicubic ? 2 * std::max(s, 1.0)
                                                 : 0.5 * std::max(s, 1.0);
  Taps t;
  t.count = std::min(in, Index(std::ceil(2 * radius)) + 2);
  t.first.resize(std::size_t(out));
  t.weight.resize(std::size_t(out * t.count));
  for (Index i = 0; i < out; ++i) {
    double centre = (double(i) + 0.5) * s;
    if (how == Resize::bilinear) centre = std::clamp(centre, 0.5, double(in) - 0.5);   // the border repeats
    const Index first = std::clamp<Index>(Index(std::floor(centre - radius)), 0, in - t.count);
    float* weight = &t.weight[std::size_t(i * t.count)];
    double sum = 0;
    for (Index k = 0; k < t.count; ++k) sum += tap_weight(how, s, centre, first + k);
    for (Index k = 0; k < t.count; ++k) weight[k] = float(tap_weight(how, s, centre, first + k) / sum);
    t.first[std::size_t(i)] = first;
  }
  return t;
}

template <class T>
T pixel(float v) {
  if constexpr (std::is_same_v<T, std::uint8_t>) return T(std::clamp(v + 0.5f, 0.0f, 255.0f));
  else return T(v);
}

}  // namespace detail

/// x [H, W, C] → y [h, w, C]. A scale other than 0 is the input size of an output pixel where h and w were rounded: PyTorch's
/// `interpolate` with a scale factor f takes 1/f.
template <class T>
void resize(const T* x, Index H, Index W, T* y, Index h, Index w, Index C, Resize how, double scale = 0) {
  check_shape(H > 0 && W > 0 && h > 0 && w > 0 && C > 0, "resize", H, "x", W, " to ", h, "x", w, " with ", C, " channels");
  check_shape(scale >= 0 && (double(h) - 0.5) * scale <= double(H) && (double(w) - 0.5) * scale <= double(W), "resize", h, "x", w,
              " pixels of size ", scale, " reach past ", H, "x", W);
  const detail::Taps rows = detail::taps(how, H, h, scale != 0 ? scale : double(H) / double(h));
  const detail::Taps cols = detail::taps(how, W, w, scale != 0 ? scale : double(W) / double(w));
  std::vector<float> line(std::size_t(W * C));   // one output row, at the input's width
  for (Index i = 0; i < h; ++i) {
    std::fill(line.begin(), line.end(), 0.0f);
    for (Index k = 0; k < rows.count; ++k) {
      const float weight = rows.weight[std::size_t(i * rows.count + k)];
      if (weight == 0) continue;
      const T* row = x + (rows.first[std::size_t(i)] + k) * W * C;
      for (Index j = 0; j < W * C; ++j) line[std::size_t(j)] += weight * float(row[j]);
    }
    for (Index j = 0; j < w; ++j)
      for (Index c = 0; c < C; ++c) {
        const float* from = &line[std::size_t(cols.first[std::size_t(j)] * C + c)];
        const float* weight = &cols.weight[std::size_t(j * cols.count)];
        float sum = 0;
        for (Index k = 0; k < cols.count; ++k) sum += weight[k] * from[k * C];
        *y++ = detail::pixel<T>(sum);
      }
  }
}

/// x [H, W, C] → the part `box` of it, [box.height, box.width, C].
template <class T>
void crop(const T* x, Index H, Index W, const Box& box, T* y, Index C) {
  check_shape(box.top >= 0 && box.left >= 0 && box.height > 0 && box.width > 0 && box.top + box.height <= H && box.left + box.width <= W,
              "crop", box.height, "x", box.width, " at (", box.top, ", ", box.left, ") of a picture of ", H, "x", W);
  for (Index i = 0; i < box.height; ++i) {
    const T* row = x + ((box.top + i) * W + box.left) * C;
    y = std::copy(row, row + box.width * C, y);
  }
}

/// x [H, W, C], mirrored left to right in place.
template <class T>
void flip(T* x, Index H, Index W, Index C) {
  for (Index i = 0; i < H; ++i, x += W * C)
    for (Index a = 0, b = W - 1; a < b; ++a, --b) std::swap_ranges(x + a * C, x + (a + 1) * C, x + b * C);
}

}  // namespace fg::inline FRAMEGRAD_ABI
