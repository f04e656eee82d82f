// Colored objects of a film, followed from frame to frame: the first half of the judge of moving shapes.
//
//   ground    the median of each channel; d = pixel − ground, smoothed by [1 2 1]/4 in x and y
//   color     a pixel is of the color whose direction (paint − ground) is nearest to d's: mixing with the ground, by a soft
//             edge or by blur, changes the length of d and not its direction. cover α = d·p / p·p with p = paint − ground
//   object    for each color and frame, the connected component with the most pixels; its centroid is the track
//
// Axes: T frames, H×W pixels.
#pragma once

#include <cmath>

#include <framegrad/data/shape_scene.hpp>

namespace fg::inline FRAMEGRAD_ABI::moving_shapes::detail {

inline constexpr double kVisible = 0.35;  // cover from which a pixel belongs to an object

struct Vector { float r, g, b; };
inline float dot(Vector a, Vector b) { return a.r * b.r + a.g * b.g + a.b * b.b; }
inline Vector direction(std::size_t color) {
  return {float(kPaint[color].r - kGround.r), float(kPaint[color].g - kGround.g), float(kPaint[color].b - kGround.b)};
}

/// A film as differences from its ground, with the color of each visible pixel.
struct Reading {
  static constexpr std::uint8_t kNone = 255;
  Index frames, height, width;
  std::vector<Vector> d;            // [T, H, W]
  std::vector<std::uint8_t> color;  // [T, H, W], kNone for ground

  explicit Reading(const Film& film) : frames(film.frames), height(film.height), width(film.width) {
    film.validate();
    const std::size_t pixels = std::size_t(frames * height * width);
    std::array<float, 3> ground{};
    for (std::size_t c = 0; c < 3; ++c) {
      std::array<std::size_t, 256> count{};
      for (std::size_t i = 0; i < pixels; ++i) ++count[film.rgb[3 * i + c]];
      std::size_t below = 0, level = 0;
      while (2 * (below += count[level]) < pixels) ++level;
      ground[c] = float(level);
    }
    d.resize(pixels), color.assign(pixels, kNone);
    for (std::size_t i = 0; i < pixels; ++i)
      d[i] = {float(film.rgb[3 * i]) - ground[0], float(film.rgb[3 * i + 1]) - ground[1], float(film.rgb[3 * i + 2]) - ground[2]};
    for (Index t = 0; t < frames; ++t) smooth(d.data() + t * height * width);
    for (std::size_t i = 0; i < pixels; ++i) {
      const std::size_t best = nearest(d[i]);
      const Vector p = direction(best);
      if (dot(d[i], p) > float(kVisible) * dot(p, p)) color[i] = std::uint8_t(best);
    }
  }

  static std::size_t nearest(Vector d) {
    std::size_t best = 0;
    float cosine = -1e30f;
    for (std::size_t k = 0; k < kPaint.size(); ++k) {
      const Vector p = direction(k);
      const float c = dot(d, p) / std::sqrt(dot(p, p));
      if (c > cosine) cosine = c, best = k;
    }
    return best;
  }

 private:
  void smooth(Vector* frame) const {
    std::vector<Vector> line(std::size_t(std::max(height, width)));
    const auto pass = [&](Vector* p, Index n, Index stride) {
      for (Index i = 0; i < n; ++i) line[std::size_t(i)] = p[i * stride];
      for (Index i = 0; i < n; ++i) {
        const Vector a = line[std::size_t(std::max<Index>(0, i - 1))], b = line[std::size_t(i)];
        const Vector c = line[std::size_t(std::min(n - 1, i + 1))];
        p[i * stride] = {(a.r + 2 * b.r + c.r) / 4, (a.g + 2 * b.g + c.g) / 4, (a.b + 2 * b.b + c.b) / 4};
      }
    };
    for (Index y = 0; y < height; ++y) pass(frame + y * width, width, 1);
    for (Index x = 0; x < width; ++x) pass(frame + x, height, width);
  }
};

/// One color's object through the film.
struct Track {
  struct Place { bool present = false; double x = 0, y = 0, area = 0; };
  std::size_t color = 0;
  std::vector<Place> places;  // one a frame
  double peak = 1;            // cover inside the object; a pale object has less than 1
  double present = 0;         // share of frames
  double mass = 0;            // pixels, mean over all frames

  float cover(const Reading& film, Index i) const {
    const Vector p = direction(color);
    return dot(film.d[std::size_t(i)], p) / (dot(p, p) * float(peak));
  }
  bool others(const Reading& film, Index i) const {
    const auto c = film.color[std::size_t(i)];
    return c != Reading::kNone && c != color;
  }
};

/// The component of `color` with the most cover in frame t; empty if there is none.
inline std::vector<Index> largest_component(const Reading& film, std::size_t color, Index t) {
  const Index H = film.height, W = film.width, base = t * H * W;
  std::vector<char> seen(std::size_t(H * W), 0);
  std::vector<Index> best, part;
  for (Index start = 0; start < H * W; ++start) {
    if (seen[std::size_t(start)] || film.color[std::size_t(base + start)] != color) continue;
    part.assign(1, start);
    seen[std::size_t(start)] = 1;
    for (std::size_t i = 0; i < part.size(); ++i) {
      const Index y = part[i] / W, x = part[i] % W;
      for (Index ny = std::max<Index>(0, y - 1); ny <= std::min(H - 1, y + 1); ++ny)
        for (Index nx = std::max<Index>(0, x - 1); nx <= std::min(W - 1, x + 1); ++nx) {
          const Index n = ny * W + nx;
          if (seen[std::size_t(n)] || film.color[std::size_t(base + n)] != color) continue;
          seen[std::size_t(n)] = 1;
          part.push_back(n);
        }
    }
    if (part.size() > best.size()) best.swap(part);
  }
  return best;
}

inline Track follow(const Reading& film, std::size_t color, double least_area) {
  const Index H = film.height, W = film.width;
  Track track;
  track.color = color;
  track.places.resize(std::size_t(film.frames));
  std::vector<float> covers;
  std::vector<std::vector<Index>> components;
  for (Index t = 0; t < film.frames; ++t) {
    components.push_back(largest_component(film, color, t));
    for (const Index i : components.back()) covers.push_back(track.cover(film, t * H * W + i));
  }
  if (covers.empty()) return track;
  const auto high = covers.begin() + std::ptrdiff_t(covers.size() * 9 / 10);
  std::nth_element(covers.begin(), high, covers.end());
  track.peak = std::max(0.5, double(*high));

  std::vector<char> near(std::size_t(H * W));
  for (Index t = 0; t < film.frames; ++t) {
    // Two pixels beyond the component lie the soft edge and what smoothing spread.
    std::fill(near.begin(), near.end(), 0);
    for (const Index i : components[std::size_t(t)])
      for (Index y = std::max<Index>(0, i / W - 2); y <= std::min(H - 1, i / W + 2); ++y)
        for (Index x = std::max<Index>(0, i % W - 2); x <= std::min(W - 1, i % W + 2); ++x) near[std::size_t(y * W + x)] = 1;
    double sum = 0, sx = 0, sy = 0;
    for (Index i = 0; i < H * W; ++i) {
      if (!near[std::size_t(i)] || track.others(film, t * H * W + i)) continue;
      const double a = track.cover(film, t * H * W + i);
      sum += a, sx += a * double(i % W), sy += a * double(i / W);
    }
    auto& place = track.places[std::size_t(t)];
    place.present = sum > least_area;
    if (!place.present) continue;
    place.x = sx / sum, place.y = sy / sum, place.area = sum;
    track.present += 1.0 / double(film.frames), track.mass += sum * track.peak / double(film.frames);
  }
  return track;
}

}  // namespace fg::inline FRAMEGRAD_ABI::moving_shapes::detail
