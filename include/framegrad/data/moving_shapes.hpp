// Moving shapes — a captioned film data set that needs no file: one or two figures on a dark ground.
//
//   "a large red circle moves left while a small blue square spins"
//
//   caption = object ["while" object]       object = "a" size color figure motion
//
// A scene is a function of (split, seed, index), the same on every machine: it is drawn from Philox bits and rendered in
// integers, with 4×4 samples a pixel. Any frame of 16×16 pixels or more and any number of frames show the same scene,
// finer or coarser; a film of one frame shows its middle.
#pragma once

#include <cmath>
#include <string>

#include <framegrad/data/shape_scene.hpp>
#include <framegrad/data/tokens.hpp>

namespace fg::inline FRAMEGRAD_ABI::moving_shapes {

inline constexpr Index kSmallestSide = 16;   // pixels
inline constexpr Index kCaptionTokens = 16;  // a scene of two has at most 13 words

inline std::string caption(const Object& o) {
  return text("a ", kSizes[int(o.size)], " ", kColors[int(o.color)], " ", kFigures[int(o.figure)], " ", kMotions[int(o.motion)]);
}
inline std::string caption(const Scene& s) {
  std::string all;
  for (const Object& o : s.objects) (all += all.empty() ? "" : " while ") += caption(o);
  return all;
}

/// The words of all captions. The order is part of every trained model.
inline const Vocabulary& vocabulary() {
  static const Vocabulary v({"a",   "while", "moves", "left",   "right",  "up",    "down",   "spins",  "stays",    "still", "small",
                             "large", "red", "green", "blue", "yellow", "purple", "white", "circle", "square", "triangle", "cross"});
  return v;
}

/// The scene that a caption asks for, each object in the middle of its place. Throws ConfigError that says what can't be read.
inline Scene parse_caption(std::string_view caption) {
  const auto words = split_words(caption);
  std::size_t at = 0;
  const auto fail = [&](const std::string& needed) {
    throw ConfigError(text("caption: ", at < words.size() ? text("\"", words[at], "\"") : std::string("nothing"), " where ", needed,
                           " is needed, in \"", caption, "\""));
  };
  const auto listed = [](const auto& names) {
    std::string s;
    for (std::size_t i = 0; i < names.size(); ++i) (s += i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") += names[i];
    return s;
  };
  const auto word = [&](std::string_view w) {
    if (at >= words.size() || words[at] != w) fail(text("\"", w, "\""));
    ++at;
  };
  const auto one_of = [&](const auto& names, std::string_view what) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      const auto parts = split_words(names[i]);
      if (at + parts.size() <= words.size() && std::equal(parts.begin(), parts.end(), words.begin() + std::ptrdiff_t(at))) {
        at += parts.size();
        return int(i);
      }
    }
    fail(text("a ", what, " (", listed(names), ")"));
    return 0;
  };
  Scene s;
  do {
    if (!s.objects.empty()) word("while");
    word("a");
    Object o;
    o.size = Size(one_of(kSizes, "size"));
    o.color = Color(one_of(kColors, "color"));
    o.figure = Figure(one_of(kFigures, "figure"));
    o.motion = Motion(one_of(kMotions, "motion"));
    check<ConfigError>(drawable(o.figure, o.motion), "caption", "a circle that spins looks as if it stays still, in \"", caption, "\"");
    s.objects.push_back(o);
  } while (at < words.size() && s.objects.size() < 2);
  if (at < words.size()) fail("the end");
  check<ConfigError>(s.objects.size() == 1 || s.objects[0].color != s.objects[1].color, "caption",
                     "two objects of one color can't be told apart, in \"", caption, "\"");
  detail::arrange(s, {});
  return s;
}

namespace detail {

/// Where a figure is in one frame, in 1/256 pixel, and how it is turned (cosine and sine in 1/16384).
struct Pose { std::int64_t x, y, r, bar, cosine, sine; };

inline Pose pose(const Object& o, Index frame, Index frames, Index height, Index width) {
  const std::int64_t side = std::min(height, width), steps = frames > 1 ? frames - 1 : 2, step = frames > 1 ? frame : 1;
  const auto at = [&](std::int32_t from, std::int32_t to, Index extent) {
    return (std::int64_t(from) * (steps - step) + std::int64_t(to) * step) * extent / (steps * (kUnit / 256));
  };
  Pose p{at(o.x0, o.x1, width), at(o.y0, o.y1, height), radius(o.figure, o.size) * side / (kUnit / 256), 0, 16384, 0};
  p.bar = p.r * std::int64_t(kCrossBar * 1024) / 1024;
  if (o.motion == Motion::spins) {
    const double angle = double(kTurn) * double(step) / double(steps) * (3.14159265358979323846 / 180);
    p.cosine = std::lround(16384 * std::cos(angle)), p.sine = std::lround(16384 * std::sin(angle));
  }
  return p;
}

/// Is the point (u, v), relative to the centre and turned back upright, in the figure? y points down.
template <Figure F>
constexpr bool inside(std::int64_t u, std::int64_t v, const Pose& p) {
  const std::int64_t au = u < 0 ? -u : u, av = v < 0 ? -v : v;
  if constexpr (F == Figure::circle) return u * u + v * v < p.r * p.r;
  if constexpr (F == Figure::square) return au < p.r && av < p.r;
  if constexpr (F == Figure::triangle) return 2 * v < p.r && au * 28378 < (v + p.r) * 16384;  // √3·2^14; the apex is up
  if constexpr (F == Figure::cross) return (au < p.r && av < p.bar) || (au < p.bar && av < p.r);
}

/// Blends the figure into a frame [H, W, 3].
template <Figure F>
void draw(const Pose& p, Rgb paint, std::uint8_t* frame, Index height, Index width) {
  const std::int64_t reach = F == Figure::circle ? p.r : p.r * 3 / 2;  // √2 and a margin: corners of a turned square
  const Index x_begin = std::max<Index>(0, (p.x - reach) / 256), x_end = std::min<Index>(width, (p.x + reach) / 256 + 1);
  const Index y_begin = std::max<Index>(0, (p.y - reach) / 256), y_end = std::min<Index>(height, (p.y + reach) / 256 + 1);
  for (Index y = y_begin; y < y_end; ++y)
    for (Index x = x_begin; x < x_end; ++x) {
      int covered = 0;
      for (int sy = 0; sy < 4; ++sy)
        for (int sx = 0; sx < 4; ++sx) {
          const std::int64_t dx = x * 256 + sx * 64 + 32 - p.x, dy = y * 256 + sy * 64 + 32 - p.y;
          covered += inside<F>((dx * p.cosine + dy * p.sine) / 16384, (dy * p.cosine - dx * p.sine) / 16384, p);
        }
      if (covered == 0) continue;
      std::uint8_t* pixel = frame + (y * width + x) * 3;
      const std::uint8_t color[3] = {paint.r, paint.g, paint.b};
      for (int c = 0; c < 3; ++c) pixel[c] = std::uint8_t((pixel[c] * (16 - covered) + color[c] * covered + 8) / 16);
    }
}

inline void draw(const Object& o, Index frame, Index frames, Film& film, Index slot) {
  const Pose p = pose(o, frame, frames, film.height, film.width);
  const Rgb paint = kPaint[std::size_t(o.color)];
  std::uint8_t* at = film.frame(slot);
  switch (o.figure) {
    case Figure::circle: return draw<Figure::circle>(p, paint, at, film.height, film.width);
    case Figure::square: return draw<Figure::square>(p, paint, at, film.height, film.width);
    case Figure::triangle: return draw<Figure::triangle>(p, paint, at, film.height, film.width);
    case Figure::cross: return draw<Figure::cross>(p, paint, at, film.height, film.width);
  }
}

}  // namespace detail

/// Frames `begin` … `begin` + count − 1 of the film of `frames` frames: [count, height, width, 3]. Throws ShapeError if they aren't in it,
/// or a side is shorter than 16 pixels.
inline Film render_part(const Scene& s, Index begin, Index count, Index frames, Index height, Index width) {
  check_shape(count > 0 && height >= kSmallestSide && width >= kSmallestSide, "moving_shapes", count, " frames of ", height, "x", width,
              ", at least 1 of ", kSmallestSide, "x", kSmallestSide, " is needed");
  check_shape(begin >= 0 && begin + count <= frames, "moving_shapes", "frames ", begin, " to ", begin + count - 1, " of ", frames);
  Film film = Film::filled(count, height, width, kGround);
  for (Index t = 0; t < count; ++t)
    for (std::size_t i = s.objects.size(); i-- > 0;) detail::draw(s.objects[i], begin + t, frames, film, t);  // the first lies on top
  return film;
}

/// scene → film [frames, height, width, 3]. Throws ShapeError if a side is shorter than 16 pixels.
inline Film render(const Scene& s, Index frames, Index height, Index width) { return render_part(s, 0, frames, frames, height, width); }

}  // namespace fg::inline FRAMEGRAD_ABI::moving_shapes
