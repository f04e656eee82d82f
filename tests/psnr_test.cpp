#include <gtest/gtest.h>

#include <framegrad/metrics/psnr.hpp>

namespace {

using namespace fg;

TEST(Psnr, KnownValues) {
  const Film black = Film::filled(2, 3, 4), grey = Film::filled(2, 3, 4, {16, 16, 16});
  EXPECT_TRUE(std::isinf(psnr(black, black)));
  EXPECT_NEAR(psnr(black, grey), 20 * std::log10(255.0 / 16), 1e-12);  // MSE 16²
  Film one = black;
  one.set(0, 0, 0, {255, 0, 0});                                        // one number of 72 differs by 255
  EXPECT_NEAR(psnr(black, one), 10 * std::log10(72.0), 1e-12);
}

TEST(Psnr, RefusesOtherExtents) { EXPECT_THROW(psnr(Film::filled(2, 3, 4), Film::filled(2, 4, 3)), ShapeError); }

}  // namespace
