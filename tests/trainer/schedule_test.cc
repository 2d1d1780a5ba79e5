#include "trainer/optimisation/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cloister::trainer {
namespace {

using Shape = Schedule::Shape;

TEST(Schedule, ConstantIsOneAfterTheWarmUp) {
  const Schedule schedule = {.shape = Shape::kConstant, .warmup_steps = 4};
  EXPECT_EQ(schedule.ShareAt(1, 10), 0.25);
  EXPECT_EQ(schedule.ShareAt(4, 10), 1);
  EXPECT_EQ(schedule.ShareAt(10, 10), 1);
  EXPECT_EQ(Schedule().ShareAt(1, 1), 1);
}

TEST(Schedule, LinearComesDownByEqualSteps) {
  const Schedule schedule = {.shape = Shape::kLinear, .warmup_steps = 2, .final_share = 0.2};
  EXPECT_EQ(schedule.ShareAt(3, 10), 1);
  EXPECT_DOUBLE_EQ(schedule.ShareAt(4, 10), 0.9);
  EXPECT_DOUBLE_EQ(schedule.ShareAt(10, 10), 0.3);
}

TEST(Schedule, CosineIsHalfwayInTheMiddle) {
  const Schedule schedule = {.shape = Shape::kCosine, .final_share = 0.5};
  EXPECT_EQ(schedule.ShareAt(1, 8), 1);
  EXPECT_DOUBLE_EQ(schedule.ShareAt(5, 8), 0.75);
  EXPECT_GT(schedule.ShareAt(2, 8), 1 - 0.5 / 8);  // slower than a line at first
  EXPECT_LT(schedule.ShareAt(8, 8), 0.5 + 0.5 / 8);
}

TEST(Schedule, EveryShareIsWithinItsRangeAndFallsAfterTheWarmUp) {
  for (const Shape shape : {Shape::kConstant, Shape::kLinear, Shape::kCosine}) {
    for (const std::int64_t warmup : {0, 1, 7}) {
      const Schedule schedule = {.shape = shape, .warmup_steps = warmup, .final_share = 0.1};
      for (std::int64_t step = 1; step <= 30; ++step) {
        const double share = schedule.ShareAt(step, 30);
        EXPECT_GT(share, 0);
        EXPECT_LE(share, 1);
        if (step == 1) continue;
        const double before = schedule.ShareAt(step - 1, 30);
        EXPECT_TRUE(step <= warmup ? share > before : share <= before) << step;
      }
    }
  }
}

TEST(Schedule, NamesReadBack) {
  for (const Shape shape : {Shape::kConstant, Shape::kLinear, Shape::kCosine}) {
    EXPECT_EQ(ParseShape(ShapeName(shape)).value(), shape);
  }
  EXPECT_THAT(ParseShape("step").error().message, testing::HasSubstr("cosine"));
}

}  // namespace
}  // namespace cloister::trainer
