#include "trainer/run/updater.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace cloister::trainer {
namespace {

using Vector = std::vector<float>;

Recipe RecipeOf(double decay) {
  Recipe recipe;
  recipe.optimizer = {.kind = OptimizerKind::kSgd, .learning_rate = 0.5};
  recipe.schedule = {.shape = Schedule::Shape::kLinear};
  recipe.training.ema_decay = decay;
  return recipe;
}

Vector GradientOf(std::int64_t step) {
  return {std::sin(static_cast<float>(step)), 2, -static_cast<float>(step)};
}

// Two runs of one recipe, one of which goes on from the other's state, beside a direct loop.
TEST(Updater, AverageAndScheduleAreTheLoopsOverAResume) {
  constexpr std::int64_t kSteps = 10;
  constexpr double kDecay = 0.4;
  const Recipe recipe = RecipeOf(kDecay);
  const Vector start = {1, 2, 3};
  Vector values = start, later = {0, 0, 0};
  const auto alone = OneRank();
  Updater first(recipe, kSteps, values, *alone);
  std::optional<Updater> second;
  std::vector<double> x(start.begin(), start.end()), average = x;
  for (std::int64_t step = 1; step <= kSteps; ++step) {
    Updater& now = second ? *second : first;
    ASSERT_TRUE(now.Step(step, GradientOf(step), 0.25));
    const double rate = 0.5 * (1 - static_cast<double>(step - 1) / kSteps);
    const double decay =
        std::min(kDecay, (1 + static_cast<double>(step)) / (10 + static_cast<double>(step)));
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] -= rate * 0.25 * GradientOf(step)[i];
      average[i] = decay * average[i] + (1 - decay) * x[i];
    }
    if (step != 4) continue;
    second.emplace(recipe, kSteps, later, *alone);
    ASSERT_TRUE(first.WithState([&](const StateArrays& from) {
      return second->Restore(4, true, [&](const StateArrays& to) -> base::Status {
        for (const auto& [name, bytes] : from) {
          std::memcpy(to.at(name).data(), bytes.data(), bytes.size());
        }
        return {};
      });
    }));
  }
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(later[i], x[i], 1e-5);
  {
    const Updater::Averaged averaged(*second);
    for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(later[i], average[i], 1e-5);
  }
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(later[i], x[i], 1e-5);
  ASSERT_TRUE(second->Finish());
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(later[i], average[i], 1e-5);
  EXPECT_GT(std::abs(average[2] - x[2]), 0.05);
}

TEST(Updater, TellsWhatBecameOfTheParameters) {
  Vector values = {1, 2, 3};
  Recipe recipe = RecipeOf(0.5);
  recipe.training.ema_decay.reset();
  const auto alone = OneRank();
  Updater updater(recipe, 3, values, *alone);
  ASSERT_TRUE(updater.Step(1, Vector{0, 0, 0}, 1));
  EXPECT_FALSE(updater.moved());
  ASSERT_TRUE(updater.Step(2, Vector{0, 1, 0}, 1));
  EXPECT_TRUE(updater.moved());
  const base::Status lost =
      updater.Step(3, Vector{0, std::numeric_limits<float>::infinity(), 0}, 1);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, base::Code::kFailedPrecondition);
}

TEST(Updater, RefusesStepsThatTheRunDidNotTake) {
  Vector values = {1, 2, 3};
  const auto alone = OneRank();
  Updater updater(RecipeOf(0.5), 9, values, *alone);
  for (const std::int64_t steps : {-1, 4}) {
    const base::Status status =
        updater.Restore(3, true, [steps](const StateArrays& state) -> base::Status {
          std::memcpy(state.at("optimizer_steps").data(), &steps, sizeof steps);
          return {};
        });
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, base::Code::kDataLoss);
  }
}

}  // namespace
}  // namespace cloister::trainer
