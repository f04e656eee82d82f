// How much an object of a film looks like a figure: the cosine between its cover and a stencil, smoothed alike, over the
// pixels around its centroid. A figure may stay upright (within 20 degrees) or turn steadily through the film.
#pragma once

#include <utility>
#include <vector>

#include <framegrad/data/moving_shapes.hpp>
#include <framegrad/data/shape_tracks.hpp>

namespace fg::inline FRAMEGRAD_ABI::moving_shapes::detail {

/// A figure of radius r pixels at four cells a pixel, each cell the mean over a pixel around it, smoothed as `Reading` is.
class Stencil {
 public:
  Stencil(Figure figure, double r) : half_(Index((1.25 * r + 5) * kCells)), n_(2 * half_ + 1), cells_(std::size_t(n_ * n_)) {
    const Pose p{0, 0, std::int64_t(r * 256), std::int64_t(r * 256 * kCrossBar), 16384, 0};
    for (Index y = 0; y < n_; ++y)
      for (Index x = 0; x < n_; ++x) {
        const std::int64_t u = (x - half_) * 256 / kCells, v = (y - half_) * 256 / kCells;
        cells_[std::size_t(y * n_ + x)] = figure == Figure::circle   ? inside<Figure::circle>(u, v, p)
                                          : figure == Figure::square ? inside<Figure::square>(u, v, p)
                                          : figure == Figure::cross  ? inside<Figure::cross>(u, v, p)
                                                                     : inside<Figure::triangle>(u, v, p);
      }
    convolve(std::array{0.125f, 0.25f, 0.25f, 0.25f, 0.125f}, 1);
    smooth();
  }
  /// By [1 2 1]/4 in x and y, as one more blur of the film would. Three times at most fit into the empty border.
  void smooth() { convolve(std::array{0.25f, 0.5f, 0.25f}, kCells); }

  /// At (u, v) pixels from the centre.
  float operator()(float u, float v) const {
    // The middle is shifted to be positive, where a conversion rounds as floor does: floor itself is a call at plain -O2.
    const auto x = std::uint32_t(std::int32_t(u * kCells + middle_)), y = std::uint32_t(std::int32_t(v * kCells + middle_));
    return x < std::uint32_t(n_) && y < std::uint32_t(n_) ? cells_[y * std::uint32_t(n_) + x] : 0.0f;
  }

 private:
  static constexpr Index kCells = 4;
  template <std::size_t N>
  void convolve(const std::array<float, N>& kernel, Index spacing) {
    std::vector<float> out(cells_.size());
    for (const Index stride : {spacing, spacing * n_}) {  // along x, where rows run into each other in the empty border; along y
      const auto size = Index(cells_.size()), reach = Index(N / 2) * stride;
      for (Index i = reach; i < size - reach; ++i) {
        float sum = 0;
        for (Index k = 0; k < Index(N); ++k) sum += kernel[std::size_t(k)] * cells_[std::size_t(i - reach + k * stride)];
        out[std::size_t(i)] = sum;
      }
      cells_.swap(out);
    }
  }
  Index half_, n_;
  float middle_ = float(half_) + 0.5f;
  std::vector<float> cells_;
};

/// How well one figure explains an object: the cosine's mean over the frames, for the best angle, or start and speed.
struct Likeness {
  double staying = 0, spinning = 0;
  void take(const Likeness& l) { staying = std::max(staying, l.staying), spinning = std::max(spinning, l.spinning); }
};

/// An object's cover around its centroid, frame by frame.
struct Patches {
  struct Point { float u, v, cover; };
  std::vector<std::vector<Point>> frames;  // only frames where the object is present
  std::vector<double> when;                // of these, in 0…1

  Patches(const Reading& film, const Track& track, double reach) {
    for (Index t = 0; t < film.frames; ++t) {
      const auto& place = track.places[std::size_t(t)];
      if (!place.present) continue;
      when.push_back(film.frames > 1 ? double(t) / double(film.frames - 1) : 0.0);
      auto& points = frames.emplace_back();
      for (Index y = std::max<Index>(0, Index(place.y - reach)); y <= std::min(film.height - 1, Index(place.y + reach)); ++y)
        for (Index x = std::max<Index>(0, Index(place.x - reach)); x <= std::min(film.width - 1, Index(place.x + reach)); ++x) {
          const Index i = (t * film.height + y) * film.width + x;
          const double u = double(x) - place.x, v = double(y) - place.y;
          if (u * u + v * v < reach * reach && !track.others(film, i)) points.push_back({float(u), float(v), track.cover(film, i)});
        }
    }
  }

  /// With a figure of radius r pixels, sharp as the data set's or blurred twice.
  Likeness likeness(Figure figure, double r) const {
    Stencil stencil(figure, r);
    Likeness best = likeness(figure, stencil);
    stencil.smooth();
    stencil.smooth();
    best.take(likeness(figure, stencil));
    return best;
  }

 private:
  Likeness likeness(Figure figure, const Stencil& stencil) const {
    constexpr int kStep = 10;                                                                      // degrees
    const int angles = figure == Figure::circle ? 1 : (figure == Figure::triangle ? 120 : 90) / kStep;  // up to symmetry
    std::vector<std::vector<double>> cosine(frames.size(), std::vector<double>(std::size_t(angles)));
    for (std::size_t f = 0; f < frames.size(); ++f)
      for (int j = 0; j < angles; ++j) {
        const auto angle = float(j * kStep) * 3.14159265f / 180, c = std::cos(angle), s = std::sin(angle);
        float mm = 0, mt = 0, tt = 0;
        for (const Point& p : frames[f]) {
          const float t = stencil(p.u * c + p.v * s, p.v * c - p.u * s);
          mm += p.cover * p.cover, mt += p.cover * t, tt += t * t;
        }
        cosine[f][std::size_t(j)] = mm > 0 && tt > 0 ? double(mt) / std::sqrt(double(mm) * double(tt)) : 0.0;
      }
    const auto mean = [&](int start, int turn) {
      double sum = 0;
      for (std::size_t f = 0; f < frames.size(); ++f) {
        const int j = start + int(std::lround(when[f] * double(turn) / kStep));
        sum += cosine[f][std::size_t(((j % angles) + angles) % angles)];
      }
      return sum / double(frames.size());
    };
    Likeness best;
    for (int start = 0; start < angles; ++start) {
      if (std::min(start, angles - start) * kStep <= 20) best.staying = std::max(best.staying, mean(start, 0));  // upright
      for (int turn = 60; angles > 1 && turn <= 240; turn += kStep)
        best.spinning = std::max({best.spinning, mean(start, turn), mean(start, -turn)});
    }
    return best;
  }
};

}  // namespace fg::inline FRAMEGRAD_ABI::moving_shapes::detail
