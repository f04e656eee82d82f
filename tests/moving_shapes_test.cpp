// The moving shapes: what scenes promise, what captions say, and whether the judge reads films rightly.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>

#include <framegrad/data/moving_shapes.hpp>
#include <framegrad/data/shape_judge.hpp>

namespace {

using namespace fg::moving_shapes;
using fg::Film;
using fg::Index;

/// Noise of `sigma` (a share of the range of values) and, before it, a 3×3 binomial blur.
Film degraded(const Film& film, double sigma, bool blur, std::uint64_t seed) {
  const Index T = film.frames, H = film.height, W = film.width;
  std::vector<float> sharp(std::size_t(film.bytes())), x, z(sharp.size());
  fg::film_to_planar(film, sharp.data());
  x = sharp;
  const auto at = [&](Index plane, Index y, Index u) {
    return sharp[std::size_t((plane * H + std::clamp<Index>(y, 0, H - 1)) * W + std::clamp<Index>(u, 0, W - 1))];
  };
  for (Index i = 0; blur && i < film.bytes(); ++i) {
    const Index plane = i / (H * W), y = i / W % H, u = i % W;
    float sum = 0;
    for (int v = -1; v <= 1; ++v)
      for (int h = -1; h <= 1; ++h) sum += at(plane, y + v, u + h) * float((2 - v * v) * (2 - h * h)) / 16;
    x[std::size_t(i)] = sum;
  }
  fg::philox_fill_normal(seed, 1, 0, z.data(), Index(z.size()));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += float(2 * sigma) * z[i];
  return fg::film_from_planar(x.data(), T, H, W);
}

Scene asked(const char* words) { return parse_caption(words); }

TEST(Scenes, AreTheSameEverywhere) {
  std::uint64_t hash = 1469598103934665603u;  // FNV-1a over films of both splits and odd sizes
  for (std::uint64_t i = 0; i < 40; ++i) {
    const Scene s = scene(i % 2 ? Split::train : Split::held_out, 7, i);
    for (const auto byte : render(s, 5, 20 + Index(i % 3), 23).rgb) hash = (hash ^ byte) * 1099511628211u;
  }
  EXPECT_EQ(hash, 2344512090786481021u);
  EXPECT_EQ(scene(Split::train, 1, 2), scene(Split::train, 1, 2));
  EXPECT_NE(scene(Split::train, 1, 2), scene(Split::train, 1, 3));
  EXPECT_NE(scene(Split::train, 1, 2), scene(Split::train, 2, 2));
}

TEST(Scenes, HoldOutATenthOfTheCombinationsAndNoPairOfWords) {
  int all = 0, held = 0;
  std::map<std::pair<int, int>, int> word_all, word_held;  // (kind of word, word)
  std::map<std::array<int, 4>, int> pair_train;
  for (int f = 0; f < 4; ++f)
    for (int c = 0; c < 6; ++c)
      for (int m = 0; m < 6; ++m) {
        if (!drawable(Figure(f), Motion(m))) continue;
        const bool out = held_out(Figure(f), Color(c), Motion(m));
        all += 1, held += out;
        for (const auto& word : {std::pair{0, f}, {1, c}, {2, m}}) word_all[word] += 1, word_held[word] += out;
        pair_train[{0, f, 1, c}] += !out, pair_train[{0, f, 2, m}] += !out, pair_train[{1, c, 2, m}] += !out;
      }
  EXPECT_NEAR(double(held) / all, 0.1, 0.03);
  for (const auto& [word, n] : word_all) {
    EXPECT_GT(word_held[word], 0) << word.first << ' ' << word.second;
    EXPECT_LT(word_held[word], 0.15 * n) << word.first << ' ' << word.second;
  }
  for (const auto& [pair, n] : pair_train) EXPECT_GE(n, 2);
}

TEST(Scenes, KeepTheSplitsApart) {
  int two = 0;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    const Scene train = scene(Split::train, 3, i, {.two_objects = 0.25});
    EXPECT_FALSE(held_out(train));
    EXPECT_TRUE(held_out(scene(Split::held_out, 3, i)));
    two += train.objects.size() == 2;
  }
  EXPECT_NEAR(two, 750, 5 * std::sqrt(3000 * 0.25 * 0.75));
  for (const int objects : {1, 2})
    for (const Scene& s : prompts(50, objects, 9)) {
      EXPECT_EQ(int(s.objects.size()), objects);
      EXPECT_TRUE(held_out(s));
    }
  EXPECT_THROW(prompts(1, 3, 0), fg::ConfigError);
}

TEST(Scenes, SpinAsOftenAsIsAsked) {
  const auto share = [](double asked) {
    Index spinning = 0, all = 0;
    for (std::uint64_t i = 0; i < 2000; ++i)
      for (const Object& o : scene(Split::train, 4, i, {.two_objects = 0.5, .spins = asked}).objects) {
        EXPECT_FALSE(held_out(o));
        spinning += o.motion == Motion::spins, ++all;
      }
    return double(spinning) / double(all);
  };
  const double few = share(0);  // 16 of 126 combinations
  EXPECT_NEAR(few, 0.127, 0.03);
  EXPECT_NEAR(share(0.5), 0.5 + 0.5 * few, 0.05);
  EXPECT_EQ(share(1), 1);
}

TEST(Scenes, ObjectsStayInTheFrameMoveAsSaidAndDifferInColor) {
  for (std::uint64_t i = 0; i < 3000; ++i) {
    const Scene s = scene(Split::train, 4, i);
    if (s.objects.size() == 2) {
      EXPECT_NE(s.objects[0].color, s.objects[1].color);
    }
    for (const Object& o : s.objects) {
      const auto reach = detail::reach(o.size);
      for (const auto at : {o.x0, o.y0, o.x1, o.y1}) EXPECT_TRUE(at >= reach && at <= kUnit - reach) << caption(s);
      const auto step = [](std::int32_t from, std::int32_t to) { return (to > from) - (to < from); };
      EXPECT_EQ(step(o.x0, o.x1), o.motion == Motion::right ? 1 : o.motion == Motion::left ? -1 : 0);
      EXPECT_EQ(step(o.y0, o.y1), o.motion == Motion::down ? 1 : o.motion == Motion::up ? -1 : 0);
      EXPECT_TRUE(drawable(o.figure, o.motion));
    }
  }
}

TEST(Scenes, TwoObjectsHardlyCoverEachOther) {
  for (std::uint64_t i = 0; i < 300; ++i) {
    const Scene s = scene(Split::train, 5, i, {.two_objects = 1});
    const auto colored = [](const Film& film, Index t, Color c) {
      int n = 0;
      for (Index y = 0; y < film.height; ++y)
        for (Index x = 0; x < film.width; ++x) n += film.at(t, y, x) == kPaint[std::size_t(c)];
      return n;
    };
    const Object& below = s.objects[1];
    const Film both = render(s, 9, 64, 64), alone = render({{below}}, 9, 64, 64);
    for (Index t = 0; t < 9; ++t) EXPECT_GT(colored(both, t, below.color), 0.85 * colored(alone, t, below.color)) << caption(s);
  }
}

TEST(Scenes, RenderAtAnySizeAndLength) {
  const Scene s = asked("a large red circle moves left");
  for (const auto& [T, H, W] : {std::array<Index, 3>{1, 16, 16}, {2, 17, 40}, {33, 50, 16}}) {
    const Film film = render(s, T, H, W);
    film.validate();
    EXPECT_EQ(film.frames, T);
    for (Index t = 0; t < T; ++t) {
      const Film frame = render_part(s, t, 1, T, H, W);
      EXPECT_TRUE(std::equal(frame.rgb.begin(), frame.rgb.end(), film.frame(t)));
    }
  }
  const Film still = render(s, 1, 32, 32), middle = render_part(s, 1, 1, 3, 32, 32);
  EXPECT_EQ(still.rgb, middle.rgb);
  EXPECT_THROW(render(s, 4, 15, 32), fg::ShapeError);
  EXPECT_THROW(render(s, 0, 32, 32), fg::ShapeError);
  EXPECT_THROW(render_part(s, 4, 1, 4, 32, 32), fg::ShapeError);
}

TEST(Captions, ComeBackThroughTokensAndParser) {
  std::set<std::string> words;
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const Scene s = scene(i % 2 ? Split::train : Split::held_out, 6, i);
    const auto ids = vocabulary().encode(caption(s), kCaptionTokens);
    EXPECT_EQ(Index(ids.size()), kCaptionTokens);
    EXPECT_EQ(vocabulary().decode(ids), caption(s));
    const Scene back = parse_caption(vocabulary().decode(ids));
    ASSERT_EQ(back.objects.size(), s.objects.size());
    for (std::size_t k = 0; k < s.objects.size(); ++k) EXPECT_TRUE(back.objects[k].same_words(s.objects[k]));
    for (auto& w : fg::split_words(caption(s))) words.insert(w);
  }
  EXPECT_EQ(Index(words.size()) + 1, vocabulary().size());
  EXPECT_EQ(vocabulary().encode("", 3), (std::vector<std::int64_t>{0, 0, 0}));
  EXPECT_EQ(caption(asked(" A LARGE Red circle, moves left. ")), "a large red circle moves left");
}

std::string complaint(const std::function<void()>& f) {
  try {
    f();
  } catch (const fg::ConfigError& e) {
    return e.what();
  }
  return "";
}

TEST(Captions, SayWhatCannotBeRead) {
  const auto parse = [](const char* words) { return complaint([=] { parse_caption(words); }); };
  EXPECT_NE(parse("a large red blob moves left").find("\"blob\" where a figure (circle, square, triangle or cross)"), std::string::npos);
  EXPECT_NE(parse("a large red circle moves").find("a motion (moves left"), std::string::npos);
  EXPECT_NE(parse("a red circle spins").find("a size (small or large)"), std::string::npos);
  EXPECT_NE(parse("").find("nothing where \"a\""), std::string::npos);
  EXPECT_NE(parse("a large red circle spins").find("stays still"), std::string::npos);
  EXPECT_NE(parse("a large red cross spins while a small red circle moves up").find("one color"), std::string::npos);
  EXPECT_NE(parse("a large red cross spins while a small blue cross spins while a large white cross spins").find("the end"), std::string::npos);
  const auto unknown = complaint([] { vocabulary().encode("a large pink circle", 16); });
  EXPECT_NE(unknown.find("\"pink\" is unknown"), std::string::npos);
  EXPECT_NE(unknown.find("purple"), std::string::npos);
  EXPECT_NE(complaint([] { vocabulary().encode("a a a a", 3); }).find("4 words"), std::string::npos);
  EXPECT_THROW(vocabulary().decode({23}), fg::ConfigError);
}

TEST(Captions, AVocabularyIsBuiltFromAnyCaptions) {
  const auto v = fg::Vocabulary::of_captions({"Two cats", "a cat, two dogs."});
  EXPECT_EQ(v.words(), (std::vector<std::string>{"a", "cat", "cats", "dogs", "two"}));
  EXPECT_EQ(v.encode("two cat", 3), (std::vector<std::int64_t>{5, 2, 0}));
  EXPECT_THROW(fg::Vocabulary({"a", "a"}), fg::ConfigError);
  EXPECT_THROW(fg::Vocabulary({"A"}), fg::ConfigError);
}

class Judge : public testing::TestWithParam<std::pair<double, bool>> {};

TEST_P(Judge, IsRightOnItsOwnFilmsAndAtChanceOnOthers) {
  const auto [sigma, blur] = GetParam();
  constexpr std::uint64_t n = 100;
  for (const double two : {0.0, 1.0}) {
    std::vector<Scene> scenes;
    std::vector<Verdict> own, other;
    for (std::uint64_t i = 0; i < n; ++i) {
      scenes.push_back(scene(i % 4 ? Split::train : Split::held_out, 11, i, {.two_objects = two}));
      const auto seen = detect(degraded(render(scenes.back(), 16, 32, 32), sigma, blur, i));
      own.push_back(judge(seen, scenes[i]));
      if (i > 0) other.push_back(judge(seen, scenes[i - 1]));
    }
    const Rates right = rates(own), wrong = rates(other), expected = chance(scenes);
    for (const double r : {right.figure, right.color, right.size, right.motion, right.three}) EXPECT_GE(r, 0.99);
    // Four standard deviations of a share of n trials.
    const auto at_chance = [&](double r, double p) { EXPECT_NEAR(r, p, 4 * std::sqrt(p * (1 - p) / double(n - 1)) + 0.005); };
    at_chance(wrong.figure, expected.figure);
    at_chance(wrong.color, expected.color);
    at_chance(wrong.size, expected.size);
    at_chance(wrong.motion, expected.motion);
    at_chance(wrong.three, expected.three);
    at_chance(wrong.films, expected.films);
  }
}
INSTANTIATE_TEST_SUITE_P(Films, Judge, testing::Values(std::pair{0.0, false}, std::pair{0.06, false}, std::pair{0.0, true}, std::pair{0.06, true}));

TEST(JudgeOf, OtherSizes) {
  for (const auto& [T, H, W] : {std::array<Index, 3>{8, 48, 64}, {24, 64, 40}}) {
    std::vector<Verdict> verdicts;
    for (std::uint64_t i = 0; i < 30; ++i) {
      const Scene s = scene(Split::train, 12, i);
      verdicts.push_back(judge(render(s, T, H, W), s));
    }
    EXPECT_EQ(rates(verdicts).three, 1.0);
    EXPECT_EQ(rates(verdicts).size, 1.0);
  }
}

TEST(JudgeOf, NothingIsNothing) {
  const Film blank = Film::filled(16, 32, 32, {128, 128, 128});
  EXPECT_TRUE(detect(blank).empty());
  EXPECT_TRUE(detect(degraded(blank, 0.06, false, 1)).empty());
  const Verdict v = judge(blank, asked("a large red circle stays still"));
  ASSERT_EQ(v.objects.size(), 1u);
  EXPECT_FALSE(v.objects[0].found || v.objects[0].figure || v.objects[0].color || v.objects[0].motion);
}

TEST(JudgeOf, AFilmInDisorderHasNoMotion) {
  const Scene s = asked("a large red cross moves right");
  const Film film = render(s, 16, 32, 32);
  Film mixed = film;
  for (Index t = 0; t < 16; ++t) std::copy_n(film.frame(t * 7 % 16), film.frame_bytes(), mixed.frame(t));
  EXPECT_TRUE(judge(film, s).three());
  const auto v = judge(mixed, s).objects[0];
  EXPECT_TRUE(v.figure && v.color);
  EXPECT_FALSE(v.motion);
  EXPECT_FALSE(judge(mixed, asked("a large red cross stays still")).objects[0].motion);
}

TEST(JudgeOf, AnObjectThatComesAndGoesIsNotSeen) {
  const Scene s = asked("a large red cross moves right");
  Film film = render(s, 16, 32, 32);
  const Film blank = Film::filled(1, 32, 32, kGround);
  for (Index t = 0; t < 16; t += 2) std::copy_n(blank.frame(0), blank.frame_bytes(), film.frame(t));
  EXPECT_TRUE(detect(film).empty());
}

TEST(JudgeOf, EachWordCounts) {
  const Film film = render(asked("a large red cross moves right while a small blue circle stays still"), 16, 32, 32);
  const auto first = [&](const char* words) { return judge(film, asked(words)).objects[0]; };
  EXPECT_TRUE(first("a large red cross moves right while a small blue circle stays still").four());
  EXPECT_TRUE(first("a small blue circle stays still while a large red cross moves right").four());
  const auto wrong = first("a small red square moves left while a small blue circle stays still");
  EXPECT_TRUE(wrong.found && wrong.color);
  EXPECT_FALSE(wrong.figure || wrong.size || wrong.motion);
  EXPECT_FALSE(first("a large green cross moves right while a small blue circle stays still").color);
  EXPECT_EQ(judge(film, asked("a large red cross moves right")).seen.size(), 1u);  // the most visible alone
}

TEST(JudgeOf, PaleAndSoftFilmsAreRead) {
  const Scene s = asked("a large purple triangle spins");
  Film film = render(s, 16, 32, 32);
  for (auto& byte : film.rgb) byte = std::uint8_t(60 + (int(byte) - 24) * 6 / 10);
  EXPECT_TRUE(judge(degraded(degraded(film, 0, true, 0), 0.02, true, 1), s).objects[0].four());
}

}  // namespace
