// The judge of moving shapes: reads figure, color, size and motion off a film, without knowing what was asked.
//
//   tracks    objects by color, one centroid a frame (shape_tracks.hpp)
//   motion    a line fitted to the track says how far the object went; it moves if that is over half of a mover's travel
//   figure    cosine between the object's cover and a smoothed stencil of each figure, at three radii around the one that its
//             area says, sharp and soft. A spinner's stencil turns steadily, any other's stays upright: the better counts.
//   size      by area, against the geometric mean of the figure's two sizes
//
// An object that is absent in many frames, jumps, or resembles no figure is read as such and counts as wrong.
// Axes: T frames, H×W pixels.
#pragma once

#include <utility>

#include <framegrad/data/shape_stencil.hpp>

namespace fg::inline FRAMEGRAD_ABI::moving_shapes {

/// What was read. Confidences are in 0…1.
struct Detected {
  Figure figure = Figure::circle;
  Color color = Color::red;
  Size size = Size::large;
  Motion motion = Motion::still;
  double figure_confidence = 0, color_confidence = 0, size_confidence = 0, motion_confidence = 0;
  double area = 0;            // pixels
  double likeness = 0;        // cosine with the figure's stencil, mean over the frames
  double dx = 0, dy = 0;      // way over the whole film, as a share of width and height
  double wander = 0;          // root mean square distance of the track from its line, as a share of the shorter side
};

/// For one asked object: was there one to compare it with, and what agreed?
struct ObjectVerdict {
  bool found = false, figure = false, color = false, size = false, motion = false;
  bool three() const { return figure && color && motion; }
  bool four() const { return three() && size; }
};

struct Verdict {
  std::vector<ObjectVerdict> objects;  // in the order asked
  std::vector<Detected> seen;          // at most as many, the most visible first
  bool three() const { return std::all_of(objects.begin(), objects.end(), [](const auto& o) { return o.three(); }); }
};

/// Shares of objects in 0…1; `films` is the share of films with every object's figure, color and motion right.
struct Rates { double figure = 0, color = 0, size = 0, motion = 0, three = 0, films = 0; };

namespace detail {

inline constexpr double kLikeness = 0.80;      // below, it is no figure
inline constexpr double kWander = 0.08;        // above, it jumps
inline constexpr double kSpinMargin = 0.0012;  // by how much turning must explain the frames better than staying: twice blurred,
                                               // a small square has 0.005 where it spins, -0.0026 where it stays

/// Area of a figure of radius 1.
inline double unit_area(Figure figure) {
  switch (figure) {
    case Figure::circle: return 3.14159265358979;
    case Figure::square: return 4;
    case Figure::triangle: return 1.29903810567666;  // ¾·√3
    default: return 4 * kCrossBar * (2 - kCrossBar);
  }
}
inline double area(Figure figure, Size size, double side) {
  const double r = double(radius(figure, size)) / kUnit * side;
  return unit_area(figure) * r * r;
}

/// Way and wander of the track: least squares of x and y over time.
inline void fit_motion(const Reading& film, const Track& track, Detected& o) {
  double n = 0, st = 0, stt = 0, sx = 0, sy = 0, stx = 0, sty = 0;
  for (std::size_t f = 0; f < track.places.size(); ++f) {
    const auto& p = track.places[f];
    if (!p.present) continue;
    const double t = double(f) / double(std::max<Index>(1, film.frames - 1));
    n += 1, st += t, stt += t * t, sx += p.x, sy += p.y, stx += t * p.x, sty += t * p.y;
  }
  const double spread = stt - st * st / n;
  const double vx = spread > 0 ? (stx - st * sx / n) / spread : 0, vy = spread > 0 ? (sty - st * sy / n) / spread : 0;
  double square = 0;
  for (std::size_t f = 0; f < track.places.size(); ++f) {
    const auto& p = track.places[f];
    if (!p.present) continue;
    const double t = double(f) / double(std::max<Index>(1, film.frames - 1)) - st / n;
    const double ex = p.x - sx / n - vx * t, ey = p.y - sy / n - vy * t;
    square += ex * ex + ey * ey;
  }
  o.dx = vx / double(film.width), o.dy = vy / double(film.height);
  o.wander = std::sqrt(square / n) / double(std::min(film.height, film.width));
}

inline double clamp01(double x) { return std::clamp(x, 0.0, 1.0); }

inline Detected read_object(const Reading& film, const Track& track) {
  const double side = double(std::min(film.height, film.width));
  Detected o;
  o.color = Color(track.color);
  Vector sum{0, 0, 0};
  double n = 0;
  for (const auto& p : track.places)
    if (p.present) o.area += p.area, n += 1;
  o.area /= n;
  for (std::size_t i = 0; i < film.d.size(); ++i)
    if (film.color[i] == track.color) sum.r += film.d[i].r, sum.g += film.d[i].g, sum.b += film.d[i].b;
  double first = -1, second = -1;
  for (std::size_t k = 0; k < kPaint.size(); ++k) {
    const Vector p = direction(k);
    const double c = dot(sum, p) / std::sqrt(double(dot(p, p)) * dot(sum, sum));
    if (c > first) second = std::exchange(first, c);
    else second = std::max(second, c);
  }
  o.color_confidence = clamp01((first - second) / 0.1);

  fit_motion(film, track, o);
  const double way = std::max(std::abs(o.dx), std::abs(o.dy)), half_travel = 0.5 * kTravel / kUnit;
  const bool moves = film.frames > 1 && way > half_travel;

  const Patches patches(film, track, 1.5 * std::sqrt(o.area / 2) + 2);
  double runner_up = 0, turning = 0;
  for (std::size_t k = 0; k < kFigures.size(); ++k) {
    Likeness best;
    for (const double scale : {0.9, 1.0, 1.1}) best.take(patches.likeness(Figure(k), scale * std::sqrt(o.area / unit_area(Figure(k)))));
    const double score = moves ? best.staying : std::max(best.staying, best.spinning);
    if (score > o.likeness) {
      runner_up = std::exchange(o.likeness, score);
      o.figure = Figure(k), turning = best.spinning - best.staying;
    } else {
      runner_up = std::max(runner_up, score);
    }
  }
  o.figure_confidence = clamp01((o.likeness - runner_up) / 0.02);
  o.size = o.area > std::sqrt(area(o.figure, Size::small, side) * area(o.figure, Size::large, side)) ? Size::large : Size::small;
  o.size_confidence = clamp01(std::abs(std::log(o.area / area(o.figure, Size::small, side)) / std::log(0.62) + 1));

  const bool across = std::abs(o.dx) > std::abs(o.dy);
  o.motion = moves ? (across ? (o.dx < 0 ? Motion::left : Motion::right) : (o.dy < 0 ? Motion::up : Motion::down))
                   : (turning > kSpinMargin ? Motion::spins : Motion::still);
  o.motion_confidence = film.frames == 1 ? 0 : moves ? clamp01(way / half_travel - 1) : clamp01(std::abs(turning - kSpinMargin) / 0.005);
  return o;
}

}  // namespace detail

/// The objects of a film, the most visible first. Two of one color are read as one, the larger.
inline std::vector<Detected> detect(const Film& film) {
  const detail::Reading reading(film);
  const double least = 0.5 * detail::area(Figure::triangle, Size::small, double(std::min(film.height, film.width)));
  std::vector<detail::Track> tracks;
  for (std::size_t k = 0; k < kColors.size(); ++k) {
    auto track = detail::follow(reading, k, least);
    if (track.present >= 0.6) tracks.push_back(std::move(track));
  }
  std::stable_sort(tracks.begin(), tracks.end(), [](const auto& a, const auto& b) { return a.mass > b.mass; });
  std::vector<Detected> found;
  for (const auto& t : tracks) found.push_back(detail::read_object(reading, t));
  return found;
}

/// Compares what was seen with what was asked. Only the most visible objects count, as many as were asked; of the ways to
/// pair them with the asked ones, the one with the most agreement.
inline Verdict judge(const std::vector<Detected>& seen, const Scene& asked) {
  const auto compare = [](const Detected& d, const Object& o) {
    const bool steady = d.wander <= detail::kWander;
    return ObjectVerdict{true, d.likeness >= detail::kLikeness && d.figure == o.figure, d.color == o.color, d.size == o.size,
                         steady && d.motion == o.motion};
  };
  const auto agreement = [](const std::vector<ObjectVerdict>& v) {
    int sum = 0;
    for (const auto& o : v) sum += 10 * o.three() + o.figure + 2 * o.color + o.size + o.motion;  // color names the object
    return sum;
  };
  Verdict verdict;
  verdict.seen.assign(seen.begin(), seen.begin() + std::ptrdiff_t(std::min(seen.size(), asked.objects.size())));
  const std::size_t n = asked.objects.size();
  for (std::size_t shift = 0; shift < n; ++shift) {  // one or two objects: cyclic shifts are all permutations
    std::vector<ObjectVerdict> objects(n);
    for (std::size_t i = 0; i < n; ++i)
      if ((i + shift) % n < verdict.seen.size()) objects[i] = compare(verdict.seen[(i + shift) % n], asked.objects[i]);
    if (shift == 0 || agreement(objects) > agreement(verdict.objects)) verdict.objects = objects;
  }
  return verdict;
}
inline Verdict judge(const Film& film, const Scene& asked) { return judge(detect(film), asked); }

/// Means over films.
inline Rates rates(const std::vector<Verdict>& verdicts) {
  Rates r;
  double objects = 0;
  for (const Verdict& v : verdicts) {
    for (const ObjectVerdict& o : v.objects)
      r.figure += o.figure, r.color += o.color, r.size += o.size, r.motion += o.motion, r.three += o.three(), objects += 1;
    r.films += v.three() / double(verdicts.size());
  }
  for (double* x : {&r.figure, &r.color, &r.size, &r.motion, &r.three}) *x /= std::max(1.0, objects);
  return r;
}

/// What perfect films of other prompts would get: every scene's objects judged against every other scene.
inline Rates chance(const std::vector<Scene>& asked) {
  std::vector<Verdict> verdicts;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    std::vector<Detected> seen;
    for (const Object& o : asked[i].objects) {
      Detected d;
      d.figure = o.figure, d.color = o.color, d.size = o.size, d.motion = o.motion, d.likeness = 1;
      seen.push_back(d);
    }
    for (std::size_t j = 0; j < asked.size(); ++j)
      if (i != j) verdicts.push_back(judge(seen, asked[j]));
  }
  return rates(verdicts);
}

}  // namespace fg::inline FRAMEGRAD_ABI::moving_shapes
