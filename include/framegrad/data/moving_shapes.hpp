// Moving shapes — a captioned film data set that needs no file: one or two figures on a dark ground.
//
//   "a large red circle moves left while a small blue square spins"
//
//   caption = object ["while" object]       object = "a" size color figure motion
//
// A scene is a function of (split, seed, index), the same on every machine: it is drawn from Philox bits and rendered in
// integers, with 4×4 samples a pixel. Any frame of 16×16 pixels or more and any number of frames show the same scene,
// finer or coarser; a film of one frame shows its middle.
//
// Some combinations of (figure, color, motion) are held out: no training scene has them, although it has each of their
// words, and each pair of words but those of the combination itself. A model that draws them has understood the words.
//
// Where things are: a lone object moves through the middle ± a jitter. Of two, the one named first is above or left: in
// the upper lane where one moves horizontally, in the left one otherwise. Where one moves horizontally and the other
// vertically, they follow each other around a corner: the second ends where the first began.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <framegrad/core/philox.hpp>
#include <framegrad/data/tokens.hpp>
#include <framegrad/io/film.hpp>

namespace fg::inline FRAMEGRAD_ABI::moving_shapes {

enum class Figure : std::uint8_t { circle, square, triangle, cross };
enum class Color : std::uint8_t { red, green, blue, yellow, purple, white };
enum class Size : std::uint8_t { small, large };
enum class Motion : std::uint8_t { left, right, up, down, spins, still };

inline constexpr std::array<std::string_view, 4> kFigures = {"circle", "square", "triangle", "cross"};
inline constexpr std::array<std::string_view, 6> kColors = {"red", "green", "blue", "yellow", "purple", "white"};
inline constexpr std::array<std::string_view, 2> kSizes = {"small", "large"};
inline constexpr std::array<std::string_view, 6> kMotions = {"moves left", "moves right", "moves up", "moves down", "spins", "stays still"};

inline constexpr std::array<Rgb, 6> kPaint = {{{230, 45, 45}, {45, 200, 70}, {50, 90, 240}, {240, 215, 45}, {185, 45, 225}, {235, 235, 235}}};
inline constexpr Rgb kGround = {24, 24, 24};

inline constexpr Index kSmallestSide = 16;     // pixels
inline constexpr Index kCaptionTokens = 16;    // a scene of two has at most 13 words

/// Positions are in 1/65536 of the frame's width and height, extents in 1/65536 of its shorter side.
inline constexpr std::int32_t kUnit = 65536, kPixel = kUnit / 32;   // kPixel: a pixel of a frame of 32×32
inline constexpr std::int32_t kTravel = 14 * kPixel;                // of a mover, over the whole film
inline constexpr std::int32_t kTurn = 150;                          // of a spinner, degrees over the whole film

struct Object {
  Figure figure = Figure::circle;
  Color color = Color::red;
  Size size = Size::large;
  Motion motion = Motion::still;
  std::int32_t x0 = kUnit / 2, y0 = kUnit / 2, x1 = kUnit / 2, y1 = kUnit / 2;  // centre in the first and in the last frame

  bool operator==(const Object&) const = default;
  bool horizontal() const { return motion == Motion::left || motion == Motion::right; }
  bool vertical() const { return motion == Motion::up || motion == Motion::down; }
  /// Same words; places may differ.
  bool same_words(const Object& o) const { return figure == o.figure && color == o.color && size == o.size && motion == o.motion; }
};

struct Scene {
  std::vector<Object> objects;  // one or two
  bool operator==(const Scene&) const = default;
};

enum class Split : std::uint8_t { train, held_out };

struct SceneOptions {
  double two_objects = 0.5;  // share of scenes with two
};

/// A circle that spins looks like one that stays still: there is no such object.
constexpr bool drawable(Figure figure, Motion motion) { return !(figure == Figure::circle && motion == Motion::spins); }

/// One combination in twelve, so chosen that any two words meet in at most one of them.
constexpr bool held_out(Figure figure, Color color, Motion motion) { return (3 * int(figure) + 2 * int(color) + int(motion)) % 12 == 3; }
inline bool held_out(const Object& o) { return held_out(o.figure, o.color, o.motion); }
inline bool held_out(const Scene& s) { return std::any_of(s.objects.begin(), s.objects.end(), [](const Object& o) { return held_out(o); }); }

/// Half the side of a square, the radius of a circle, the circumradius of a triangle, half the length of a cross's bar.
constexpr std::int32_t radius(Figure figure, Size size) {
  constexpr std::int32_t large[] = {63 * kPixel / 10, 55 * kPixel / 10, 78 * kPixel / 10, 71 * kPixel / 10};
  return size == Size::large ? large[int(figure)] : large[int(figure)] * 62 / 100;
}
/// Half the width of a cross's bar, as a share of half its length.
inline constexpr double kCrossBar = 0.36;

namespace detail {

struct Word { Figure figure; Color color; Motion motion; };

/// The combinations of a split: all of them for nullopt.
inline const std::vector<Word>& combinations(std::optional<Split> split) {
  static const auto table = [] {
    std::array<std::vector<Word>, 3> t;
    for (std::size_t f = 0; f < kFigures.size(); ++f)
      for (std::size_t c = 0; c < kColors.size(); ++c)
        for (std::size_t m = 0; m < kMotions.size(); ++m) {
          const Word w{Figure(f), Color(c), Motion(m)};
          if (!drawable(w.figure, w.motion)) continue;
          t[held_out(w.figure, w.color, w.motion)].push_back(w);
          t[2].push_back(w);
        }
    return t;
  }();
  return table[split ? std::size_t(*split) : 2];
}

/// Draws for one scene. Without bits (a scene that comes from a caption) each jitter is 0.
class Draws {
 public:
  Draws() = default;
  Draws(Split split, std::uint64_t seed, std::uint64_t index) : philox_(Philox(seed)), index_(index), stream_(0x5ce0e000u + unsigned(split)) {}

  /// Uniform in [0, n).
  std::uint32_t below(std::uint32_t n) { return std::uint32_t(std::uint64_t(next()) * n >> 32); }
  /// Uniform in [-j, j].
  std::int32_t jitter(std::int32_t j) { return philox_ && j > 0 ? std::int32_t(below(2 * std::uint32_t(j) + 1)) - j : 0; }
  bool chance(double p) { return double(next()) < p * 0x1p32; }

 private:
  std::uint32_t next() {
    if (drawn_ % 4 == 0) block_ = philox_->block(stream_, drawn_ / 4, index_);
    return block_[drawn_++ % 4];
  }
  std::optional<Philox> philox_;
  std::uint64_t index_ = 0;
  std::uint32_t stream_ = 0, drawn_ = 0;
  Philox::Block block_{};
};

/// How far any point of the figure is from its centre, at most.
constexpr std::int32_t reach(Size size) { return size == Size::large ? 78 * kPixel / 10 : 48 * kPixel / 10; }

/// The middle of the path, then both ends of it.
inline void place(Object& o, std::int32_t x, std::int32_t y) {
  const std::int32_t dx = o.motion == Motion::left ? -kTravel : o.motion == Motion::right ? kTravel : 0;
  const std::int32_t dy = o.motion == Motion::up ? -kTravel : o.motion == Motion::down ? kTravel : 0;
  o.x0 = x - dx / 2, o.x1 = x + dx / 2;
  o.y0 = y - dy / 2, o.y1 = y + dy / 2;
}

/// Gives every object its path.
inline void arrange(Scene& scene, Draws draws) {
  constexpr std::int32_t mid = kUnit / 2, quarter = kUnit / 4;
  const auto within = [&](std::int32_t room, std::int32_t most) { return draws.jitter(std::clamp(room, 0, most)); };
  const auto along = [&](const Object& o) { return within(mid - reach(o.size) - kTravel / 2, 2 * kPixel); };
  const auto across = [&](const Object& o) { return within(mid - reach(o.size), 6 * kPixel); };
  const auto in_lane = [&](const Object& o) { return within(quarter - reach(o.size), 2 * kPixel); };

  if (scene.objects.size() == 1) {
    Object& o = scene.objects[0];
    const auto jx = o.horizontal() ? along(o) : across(o), jy = o.vertical() ? along(o) : across(o);
    return place(o, mid + jx, mid + jy);
  }
  Object &a = scene.objects[0], &b = scene.objects[1];
  if ((a.horizontal() && b.vertical()) || (a.vertical() && b.horizontal())) {
    for (Object* o : {&a, &b}) {
      const Object& other = o == &a ? b : a;
      // The lane across the motion is the corner where the other begins (for b: where a began; for a: where b ends).
      const bool low = o == &a ? other.motion == Motion::right || other.motion == Motion::down
                               : other.motion == Motion::left || other.motion == Motion::up;
      const auto lane = (low ? 3 * quarter : quarter) + in_lane(*o), run = mid + along(*o);
      o->horizontal() ? place(*o, run, lane) : place(*o, lane, run);
    }
    return;
  }
  const bool rows = a.horizontal() || b.horizontal();
  for (Object* o : {&a, &b}) {
    const auto lane = (o == &a ? quarter : 3 * quarter) + in_lane(*o);
    const bool moves = o->horizontal() || o->vertical();
    const auto other = mid + (moves ? along(*o) : across(*o));
    rows ? place(*o, other, lane) : place(*o, lane, other);
  }
}

}  // namespace detail

/// Scene `index` of a split. A held-out scene has at least one object of a held-out combination.
inline Scene scene(Split split, std::uint64_t seed, std::uint64_t index, const SceneOptions& options = {}) {
  detail::Draws draws(split, seed, index);
  const auto pick = [&](std::optional<Split> from) {
    const auto& words = detail::combinations(from);
    const auto& w = words[draws.below(std::uint32_t(words.size()))];
    return Object{w.figure, w.color, draws.below(2) ? Size::large : Size::small, w.motion};
  };
  Scene s{{pick(split)}};
  if (draws.chance(options.two_objects)) {
    Object second = s.objects[0];
    while (second.color == s.objects[0].color) second = pick(split == Split::train ? std::optional(Split::train) : std::nullopt);
    s.objects.push_back(second);
    if (draws.below(2)) std::swap(s.objects[0], s.objects[1]);
  }
  detail::arrange(s, draws);
  return s;
}

/// n held-out scenes of `objects` (one or two) objects: prompts for an evaluation.
inline std::vector<Scene> prompts(Index n, int objects, std::uint64_t seed) {
  check<ConfigError>(objects == 1 || objects == 2, "moving_shapes", "prompts of ", objects, " objects; 1 or 2 are possible");
  std::vector<Scene> all;
  for (Index i = 0; i < n; ++i) all.push_back(scene(Split::held_out, seed, std::uint64_t(i), {.two_objects = objects == 2 ? 1.0 : 0.0}));
  return all;
}

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

/// scene → film [frames, height, width, 3]. Throws ShapeError if a side is shorter than 16 pixels.
inline Film render(const Scene& s, Index frames, Index height, Index width) {
  check_shape(frames > 0 && height >= kSmallestSide && width >= kSmallestSide, "moving_shapes", frames, " frames of ", height, "x", width,
              ", at least 1 of ", kSmallestSide, "x", kSmallestSide, " is needed");
  Film film = Film::filled(frames, height, width, kGround);
  for (Index t = 0; t < frames; ++t)
    for (std::size_t i = s.objects.size(); i-- > 0;) detail::draw(s.objects[i], t, frames, film, t);  // the first lies on top
  return film;
}

/// Frame `t` of the film of `frames` frames, alone: [1, height, width, 3].
inline Film render_frame(const Scene& s, Index t, Index frames, Index height, Index width) {
  check_shape(t >= 0 && t < frames, "moving_shapes", "frame ", t, " of ", frames);
  check_shape(height >= kSmallestSide && width >= kSmallestSide, "moving_shapes", "a frame of ", height, "x", width, ", at least ", kSmallestSide,
              "x", kSmallestSide, " is needed");
  Film film = Film::filled(1, height, width, kGround);
  for (std::size_t i = s.objects.size(); i-- > 0;) detail::draw(s.objects[i], t, frames, film, 0);
  return film;
}

}  // namespace fg::inline FRAMEGRAD_ABI::moving_shapes
