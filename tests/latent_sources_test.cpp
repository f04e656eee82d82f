// Sources of latents: stills as long as a patch, from anywhere in their film.
#include <gtest/gtest.h>

#include <set>

#include <framegrad/models/latent_sources.hpp>

namespace {

using namespace fg;

/// Is x[b, :, :] at frames begin … equal to the still?
bool part_of(const Film& film, const Film& still, Index begin) {
  for (Index t = 0; t < still.frames; ++t)
    if (!std::equal(still.frame(t), still.frame(t) + film.height * film.width * 3, film.frame(begin + t))) return false;
  return true;
}

TEST(MovingShapesSource, StillsAreNeighboursInAFilm) {
  constexpr std::uint64_t kSeed = 3;
  MovingShapesSource source(8, 16, 16, kSeed, {}, 2);
  const auto batch = source.stills(5, 40);
  EXPECT_EQ(batch.x0.sizes(), (Shape{40, 3, 2, 16, 16}));
  const auto stills = films_of(batch.x0);
  std::set<Index> begins;
  for (Index b = 0; b < 40; ++b) {
    const auto scene = moving_shapes::scene(moving_shapes::Split::train, 2 * kSeed + 1, std::uint64_t(5 + b), {.two_objects = 0.5});
    EXPECT_EQ(batch.captions[std::size_t(b)], moving_shapes::caption(scene));
    const Film film = moving_shapes::render(scene, 8, 16, 16);
    Index found = -1;
    for (Index t = 0; t < 7 && found < 0; ++t)
      if (part_of(film, stills[std::size_t(b)], t)) found = t;
    EXPECT_GE(found, 0) << batch.captions[std::size_t(b)];
    begins.insert(found);
  }
  EXPECT_TRUE(begins.count(6)) << "the last two frames never came";
  EXPECT_THROW(MovingShapesSource(8, 16, 16, kSeed, {}, 9), ShapeError);
  EXPECT_THROW(MovingShapesSource(8, 16, 16, kSeed, {}, 0), ShapeError);
}

TEST(StoredSource, StillsAreNeighboursInAClip) {
  auto latents = empty<float, 5>({2, 1, 4, 1, 1});
  for (Index i = 0; i < 8; ++i) latents.data()[i] = float(i);
  StoredSource source(latents, {"a", "b"}, 7, 3);
  const auto batch = source.stills(0, 20);
  EXPECT_EQ(batch.x0.sizes(), (Shape{20, 1, 3, 1, 1}));
  std::set<float> firsts;
  for (Index b = 0; b < 20; ++b) {
    const float first = batch.x0(b, 0, 0, 0, 0);
    EXPECT_EQ(first >= 4, batch.captions[std::size_t(b)] == "b");
    for (Index t = 1; t < 3; ++t) EXPECT_EQ(batch.x0(b, 0, t, 0, 0), first + float(t));
    firsts.insert(first);
  }
  EXPECT_EQ(firsts, (std::set<float>{0, 1, 4, 5}));
  EXPECT_THROW(StoredSource(latents, {"a", "b"}, 7, 5), ShapeError);
}

}  // namespace
