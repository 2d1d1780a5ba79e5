#include "dp/accounting/split_loss.h"

#include <gtest/gtest.h>

#include <cmath>

#include "dp/accounting/large_losses.h"

namespace cloister::dp {
namespace {

// Every sum of one loss of each of two distributions; losses need not ascend.
PrivacyLoss Plus(const PrivacyLoss& a, const PrivacyLoss& b) {
  PrivacyLoss made;
  for (std::size_t i = 0; i < a.loss.size(); ++i) {
    for (std::size_t k = 0; k < b.loss.size(); ++k) {
      made.loss.push_back(a.loss[i] + b.loss[k]);
      made.mass.push_back(a.mass[i] * b.mass[k]);
    }
  }
  return made;
}

double Delta(const PrivacyLoss& loss, double epsilon) {
  double delta = 0;
  for (std::size_t i = 0; i < loss.loss.size(); ++i) {
    delta += loss.mass[i] * std::max(0.0, -std::expm1(epsilon - loss.loss[i]));
  }
  return delta;
}

// A step of a sampled Gaussian: small losses nearly always, rarely large ones of either sign.
PrivacyLoss RareStep(double noise, double rate) {
  const Event event{noise, rate, 1, Neighbours::kReplaceOne};
  return StepLoss(event, Direction::kReplace, {0.1, 1e-30});
}

TEST(LargeLosses, AddTheirPartOfDeltaAndHardlyMore) {
  for (const double rate : {1e-3, 1e-5}) {
    const PrivacyLoss whole = RareStep(0.7, rate);
    const PrivacyLoss composed = Plus(whole, whole);
    for (const double epsilon : {0.01, 0.1, 0.5}) {
      const double exact = Delta(composed, epsilon);
      std::vector<PrivacyLoss> steps = {whole};
      const double counts[] = {2};
      const LargeLosses large(counts, steps, epsilon, 0, 0.01 * exact);
      ASSERT_LT(steps[0].loss.size(), whole.loss.size()) << rate << " " << epsilon;
      EXPECT_LE(steps[0].loss.back(), large.Cap());
      const PrivacyLoss rest = Plus(steps[0], steps[0]);
      for (const double near : {0.0, 0.5 * epsilon, epsilon, 1.1 * epsilon, 1.5 * epsilon}) {
        const double bound = Delta(rest, near) + large.At(near);
        EXPECT_GE(bound, Delta(composed, near) * (1 - 1e-12)) << rate << " " << near;
        // Left out alone, they would be missed.
        EXPECT_LT(Delta(rest, near), Delta(composed, near)) << rate << " " << near;
      }
      EXPECT_LE(Delta(rest, epsilon) + large.At(epsilon), 1.011 * exact) << rate << " " << epsilon;
    }
  }
}

TEST(LargeLosses, StayWhereTwoOfThemAreLikely) {
  std::vector<PrivacyLoss> steps = {RareStep(0.7, 0.5)};
  const std::size_t size = steps[0].loss.size();
  const double counts[] = {100};
  const LargeLosses large(counts, steps, 0.1, 0, 1e-6);
  EXPECT_EQ(steps[0].loss.size(), size);
  EXPECT_EQ(large.At(0.1), 0);
  EXPECT_EQ(large.At(1e9), 0);
}

TEST(Split, ItsPartsDominateTheStepAndAreClose) {
  const PrivacyLoss step = RareStep(0.6, 1e-4);
  for (const double tilt : {0.5, 5.0}) {
    const auto split = Split(step, 1000, tilt);
    ASSERT_TRUE(split);
    EXPECT_EQ(split->far.loss[split->atom], 0);
    EXPECT_LT(split->near.loss.back() - split->near.loss.front(),
              (step.loss.back() - step.loss.front()) / 8);
    const PrivacyLoss both = Plus(split->near, split->far);
    for (const double epsilon : {-1.0, -1e-3, 0.0, 1e-5, 1e-3, 0.1, 1.0, 5.0}) {
      const double exact = Delta(step, epsilon);
      EXPECT_GE(Delta(both, epsilon), exact * (1 - 1e-12)) << tilt << " " << epsilon;
      EXPECT_LE(Delta(both, epsilon), exact * 1.01) << tilt << " " << epsilon;
    }
    // Had the far losses kept their places and the near ones their law, the chance to be near would
    // be told for nothing.
    double near = 0;
    double other = 0;
    for (std::size_t i = 0; i < split->near.loss.size(); ++i) {
      near += split->near.mass[i] * std::exp(-split->near.loss[i]);
    }
    for (std::size_t i = 0; i < split->far.loss.size(); ++i) {
      other += split->far.mass[i] * std::exp(-split->far.loss[i]);
    }
    EXPECT_NEAR(near * other, 1, 1e-9);  // all of Q's mass
  }
}

TEST(Split, LeavesAloneWhatHasNoRareLosses) {
  const Event event{5, 0.5, 1, Neighbours::kRemove};
  EXPECT_FALSE(Split(StepLoss(event, Direction::kRemove, {0.1, 1e-16}), 1000, 1));
}

}  // namespace
}  // namespace cloister::dp
