#include "trainer/optimisation/adamw.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace cloister::trainer {
namespace {

TEST(AdamW, FollowsTheDefinition) {
  // Two steps worked out by hand: moments 0.9 and 0.99, rate 0.1, decay 0.5, gradients 2 and -1.
  AdamW optimizer(
      {.learning_rate = 0.1, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 0, .weight_decay = 0.5}, 1);
  std::vector<float> x = {1.0F};
  optimizer.Begin();
  EXPECT_TRUE(optimizer.Update(0, x, std::vector<float>{1.0F}, 2).any);
  EXPECT_NEAR(x[0], 1 - 0.1 * (1 + 0.5), 1e-6);
  optimizer.Begin();
  optimizer.Update(0, x, std::vector<float>{-1.0F}, 1);
  const double m = (0.9 * 0.2 - 0.1) / (1 - 0.81), v = (0.99 * 0.04 + 0.01) / (1 - 0.9801);
  EXPECT_NEAR(x[0], 0.85 - 0.1 * (m / std::sqrt(v) + 0.5 * 0.85), 1e-6);
}

// A step at half the rate is one of an optimizer with half the rate.
TEST(AdamW, AStepTakesItsShareOfTheRate) {
  AdamW whole({.learning_rate = 0.2, .weight_decay = 0.5}, 1);
  AdamW half({.learning_rate = 0.1, .weight_decay = 0.5}, 1);
  std::vector<float> x = {1.0F}, y = {1.0F};
  whole.Begin(0.5);
  whole.Update(0, x, std::vector<float>{3.0F}, 1);
  half.Begin();
  half.Update(0, y, std::vector<float>{3.0F}, 1);
  EXPECT_EQ(x, y);
  EXPECT_NE(x[0], 1.0F);
}

TEST(AdamW, PiecesAreOneStepAndSayWhatBecameOfTheParameters) {
  constexpr std::size_t kSize = 300'001;  // several threads' shares and a rest
  std::vector<float> whole(kSize), gradient(kSize);
  for (std::size_t i = 0; i < kSize; ++i) {
    whole[i] = std::sin(static_cast<float>(i));
    gradient[i] = std::cos(static_cast<float>(3 * i));
  }
  std::vector<float> pieces = whole;
  const AdamW::Options options = {.learning_rate = 0.01, .weight_decay = 0.1};
  AdamW one(options, kSize), many(options, kSize);
  for (int step = 0; step < 3; ++step) {
    one.Begin();
    const AdamW::Moved moved = one.Update(0, whole, gradient, 0.5);
    EXPECT_TRUE(moved.any && moved.finite);
    many.Begin();
    for (const auto& [first, count] :
         {std::pair<std::size_t, std::size_t>{250'000, 50'001}, {0, 7}, {7, 249'993}}) {
      many.Update(first, std::span(pieces).subspan(first, count),
                  std::span(gradient).subspan(first, count), 0.5);
    }
  }
  EXPECT_EQ(pieces, whole);

  AdamW still({.learning_rate = 1}, 2);
  std::vector<float> x = {1, -2};
  still.Begin();
  EXPECT_FALSE(still.Update(0, x, std::vector<float>{0, 0}, 1).any);
  EXPECT_EQ(x, (std::vector<float>{1, -2}));
  still.Begin();
  EXPECT_FALSE(
      still.Update(0, x, std::vector<float>{0, std::numeric_limits<float>::infinity()}, 1).finite);
}

}  // namespace
}  // namespace cloister::trainer
