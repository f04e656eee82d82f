// Scenes of moving shapes: what is in a film, drawn from Philox bits, and where.
//
// Some combinations of (figure, color, motion) are held out: no training scene has them, although training has each two of
// their words together. A model that draws them has understood the words.
//
// Where things are: a lone object moves through the middle ± a jitter. Of two, the one named first is above or left: in
// the upper lane where one moves horizontally, in the left one otherwise. Where one moves horizontally and the other
// vertically, they follow each other around a corner: the second ends where the first began.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include <framegrad/core/philox.hpp>
#include <framegrad/io/film.hpp>

namespace fg::inline FRAMEGRAD_ABI::moving_shapes {

enum class Figure : std::uint8_t { circle, square, triangle, cross };
enum class Color : std::uint8_t { red, green, blue, yellow, purple, white };
enum class Size : std::uint8_t { small, large };
enum class Motion : std::uint8_t { left, right, up, down, spins, still };

inline constexpr std::array<std::string_view, 4> kFigures = {"circle", "square", "triangle", "cross"};
inline constexpr std::array<std::string_view, 6> kColors = {"red", "green", "blue", "yellow", "purple", "white"};
inline constexpr std::array<std::string_view, 2> kSizes = {"small", "large"};
inline constexpr std::array<std::string_view, 6> kMotions = {"moves left", "moves right", "moves up",
                                                             "moves down", "spins",       "stays still"};

inline constexpr std::array<Rgb, 6> kPaint = {
    {{230, 45, 45}, {45, 200, 70}, {50, 90, 240}, {240, 215, 45}, {185, 45, 225}, {235, 235, 235}}};
inline constexpr Rgb kGround = {24, 24, 24};

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
  double spins = 0;          // share of objects that are chosen among those that spin: few are, and turning is the last thing a model learns
};

/// A circle that spins looks like one that stays still: there is no such object.
constexpr bool drawable(Figure figure, Motion motion) { return !(figure == Figure::circle && motion == Motion::spins); }

/// One combination in twelve, so chosen that any two words meet in at most one of them.
constexpr bool held_out(Figure figure, Color color, Motion motion) {
  return (3 * int(figure) + 2 * int(color) + int(motion)) % 12 == 3;
}
inline bool held_out(const Object& o) { return held_out(o.figure, o.color, o.motion); }
inline bool held_out(const Scene& s) {
  return std::any_of(s.objects.begin(), s.objects.end(), [](const Object& o) { return held_out(o); });
}

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
  Draws(Split split, std::uint64_t seed, std::uint64_t index)
      : philox_(Philox(seed)), index_(index), stream_(0x5ce0e000u + unsigned(split)) {}

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
    const auto one = [&]() -> const auto& { return words[draws.below(std::uint32_t(words.size()))]; };
    const bool spins = options.spins > 0 && draws.chance(options.spins);
    auto w = one();
    while (spins && w.motion != Motion::spins) w = one();
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

}  // namespace fg::inline FRAMEGRAD_ABI::moving_shapes
