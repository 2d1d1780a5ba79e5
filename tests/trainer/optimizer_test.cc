// The optimizers beside torch.optim and beside programs of the papers (tests/data/optimizers).
#include "trainer/optimisation/optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <vector>

#include "base/file.h"
#include "trainer/optimisation/parameter_average.h"

namespace cloister::trainer {
namespace {

using Vector = std::vector<float>;

const nlohmann::json& Golden() {
  static const nlohmann::json golden = nlohmann::json::parse(
      base::ReadFile(std::filesystem::path(CLOISTER_TEST_DATA) / "optimizers" / "golden.json")
          .value());
  return golden;
}

OptimizerOptions OptionsOf(const std::string& name, const nlohmann::json& from) {
  OptimizerOptions options = {.kind = ParseOptimizer(name).value(),
                              .learning_rate = from.at("learning_rate"),
                              .weight_decay = from.value("weight_decay", 0.0),
                              .momentum = from.value("momentum", 0.0),
                              .nesterov = from.value("nesterov", false)};
  options.beta1 = from.value("beta1", options.beta1);
  options.beta2 = from.value("beta2", options.beta2);
  options.epsilon = from.value("epsilon", options.epsilon);
  if (from.contains("noise_bias_floor")) options.noise_bias_floor = from["noise_bias_floor"];
  return options;
}

// Gradients as a model and a batch give them: a sum, and what makes a mean of it.
constexpr double kBatch = 4;
Vector Sum(const nlohmann::json& mean) {
  Vector sum = mean;
  for (float& value : sum) value *= kBatch;
  return sum;
}

TEST(Optimizer, FollowsTorchAndThePapers) {
  for (const nlohmann::json& one : Golden()["cases"]) {
    Vector x = one["start"];
    const auto optimizer = Optimizer::Make(OptionsOf(one["name"], one["options"]), x.size());
    for (std::size_t step = 0; step < one["gradients"].size(); ++step) {
      optimizer->Begin(one["shares"][step],
                       one.contains("variances") ? one["variances"][step].get<double>() : 0);
      const Optimizer::Moved moved =
          optimizer->Update(0, x, Sum(one["gradients"][step]), 1 / kBatch);
      EXPECT_TRUE(moved.any && moved.finite);
      const Vector after = one["after"][step];
      for (std::size_t i = 0; i < x.size(); ++i) {
        ASSERT_NEAR(x[i], after[i], 2e-6) << one["options"] << " step " << step;
      }
    }
    EXPECT_EQ(optimizer->steps(), static_cast<std::int64_t>(one["gradients"].size()));
  }
}

TEST(Optimizer, EightBitsFollowTheProgram) {
  const nlohmann::json& golden = Golden()["adamw_8bit"];
  Vector x = golden["start"];
  const auto optimizer = Optimizer::Make(OptionsOf("adamw_8bit", golden["options"]), x.size());
  for (const nlohmann::json& gradient : golden["gradients"]) {
    optimizer->Begin();
    // The whole block and the part of one, last first.
    const Vector sum = Sum(gradient);
    optimizer->Update(256, std::span(x).subspan(256), std::span(sum).subspan(256), 1 / kBatch);
    optimizer->Update(0, std::span(x).first(256), std::span(sum).first(256), 1 / kBatch);
  }
  const Vector after = golden["after"][0];
  for (std::size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i], after[i], 2e-6) << i;
}

// Distance to a minimum of different curvatures, under noise, with moments in bytes and without.
TEST(Optimizer, EightBitsStayCloseToThirtyTwo) {
  constexpr std::size_t kSize = 1000;
  const OptimizerOptions whole = {.learning_rate = 0.02};
  OptimizerOptions bytes = whole;
  bytes.kind = OptimizerKind::kAdamW8Bit;
  std::vector<Vector> ends;
  for (const OptimizerOptions& options : {whole, bytes}) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    Vector x(kSize, 1.0F), gradient(kSize);
    const auto optimizer = Optimizer::Make(options, kSize);
    for (int step = 0; step < 150; ++step) {
      for (std::size_t i = 0; i < kSize; ++i) {
        gradient[i] = std::pow(10.0F, static_cast<float>(i % 4)) * (x[i] + 0.1F * normal(random));
      }
      optimizer->Begin();
      ASSERT_TRUE(optimizer->Update(0, x, gradient, 1).finite);
    }
    ends.push_back(std::move(x));
  }
  double apart = 0, moved = 0;
  for (std::size_t i = 0; i < kSize; ++i) {
    apart += std::pow(ends[0][i] - ends[1][i], 2);
    moved += std::pow(ends[0][i] - 1, 2);
  }
  EXPECT_LT(std::sqrt(apart / moved), 0.03);
  EXPECT_GT(moved, 0.8 * kSize);
  EXPECT_NE(ends[0], ends[1]);
}

// A second moment far below its block's is not rounded to 0, which the next step would divide by.
TEST(Optimizer, EightBitsSurviveAGradientThatIsSeldomThere) {
  const auto optimizer =
      Optimizer::Make({.kind = OptimizerKind::kAdamW8Bit, .learning_rate = 0.1}, 2);
  Vector x = {0, 0};
  for (int step = 0; step < 20; ++step) {
    optimizer->Begin();
    optimizer->Update(0, x, Vector{1, step == 0 ? 2e-4F : 0}, 1);
  }
  EXPECT_LT(std::abs(x[1]), 1);  // with a moment of 0 it goes to 1e3 and more
  EXPECT_LT(x[0], -1.5);
}

// What it says of its memory.
TEST(Optimizer, TakesTheMemoryThatItStates) {
  constexpr std::size_t kSize = 1024;
  const auto bytes = [](const OptimizerOptions& options) {
    const auto optimizer = Optimizer::Make(options, kSize);
    std::size_t sum = 0;
    for (const auto& [name, array] : optimizer->State()) sum += array.size();
    return sum;
  };
  EXPECT_EQ(bytes({}), 8 * kSize);
  EXPECT_EQ(bytes({.kind = OptimizerKind::kAdamW8Bit}), 2 * kSize + kSize / 32);
  EXPECT_EQ(bytes({.kind = OptimizerKind::kSgd}), 0U);
  EXPECT_EQ(bytes({.kind = OptimizerKind::kSgd, .momentum = 0.9}), 4 * kSize);
}

// Of each kind, one that goes on from another's state is the other.
TEST(Optimizer, GoesOnFromItsState) {
  constexpr std::size_t kSize = 600;
  Vector gradient(kSize);
  for (std::size_t i = 0; i < kSize; ++i) gradient[i] = std::sin(static_cast<float>(i));
  for (const OptimizerOptions& options :
       {OptimizerOptions{.learning_rate = 0.1},
        {.learning_rate = 0.1, .noise_bias_floor = 0.01},
        {.kind = OptimizerKind::kAdamW8Bit, .learning_rate = 0.1, .noise_bias_floor = 0.01},
        {.kind = OptimizerKind::kSgd, .learning_rate = 0.1, .momentum = 0.9}}) {
    const auto one = Optimizer::Make(options, kSize);
    Vector x(kSize);
    const auto step = [&](Optimizer& optimizer, double noise) {
      optimizer.Begin(1, noise);
      optimizer.Update(0, x, gradient, 1);
    };
    step(*one, 0.3);
    step(*one, 0.1);
    const auto other = Optimizer::Make(options, kSize);
    StateArrays to = other->State();
    for (const auto& [name, from] : one->State()) {
      ASSERT_EQ(to.at(name).size(), from.size());
      std::memcpy(to[name].data(), from.data(), from.size());
    }
    other->SetSteps(one->steps());
    const Vector before = x;
    step(*one, 0.2);
    const Vector after = x;
    x = before;
    step(*other, 0.2);
    EXPECT_EQ(x, after);
    EXPECT_NE(x, before);
  }
}

// Of gradients that are nothing but noise, nothing is left of the second moments: steps are those
// of SGD at a rate of 1 / sqrt(floor), where Adam's are as large as ever.
TEST(NoiseBias, OfPureNoiseTheFloorIsLeft) {
  constexpr std::size_t kSize = 4000;
  constexpr double kFloor = 1, kDeviation = 3, kRate = 1e-3;
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, kDeviation);
  const OptimizerOptions options = {
      .learning_rate = kRate, .beta1 = 0, .beta2 = 0.999, .noise_bias_floor = kFloor};
  const auto optimizer = Optimizer::Make(options, kSize);
  Vector x(kSize), gradient(kSize);
  for (int step = 0; step < 2000; ++step) {
    for (float& value : gradient) value = normal(random);
    optimizer->Begin(1, kDeviation * kDeviation);
    const Vector before = x;
    optimizer->Update(0, x, gradient, 1);
    if (step < 1999) continue;
    double sum = 0, count = 0;
    for (std::size_t i = 0; i < kSize; ++i) {
      if (std::abs(gradient[i]) < 0.1) continue;  // the step is as small as a rounding
      const double size = (before[i] - x[i]) / (kRate * gradient[i]);
      ASSERT_LT(size, 1 / std::sqrt(kFloor) + 1e-2);
      ASSERT_GT(size, 0.5 / std::sqrt(kFloor));  // Adam's is 1 / 3
      sum += size;
      ++count;
    }
    EXPECT_GT(count, 0.9 * kSize);
    EXPECT_GT(sum / count, 0.95);
  }
}

// A signal below the noise is found, and its size with it.
TEST(NoiseBias, WhatIsLeftIsTheSignalsSquare) {
  constexpr double kDeviation = 2, kSignal = 1;
  std::mt19937 random(5);
  std::normal_distribution<float> normal(kSignal, kDeviation);
  constexpr std::size_t kSize = 2000;
  const auto optimizer = Optimizer::Make(
      {.learning_rate = 1e-3, .beta1 = 0.99, .beta2 = 0.999, .noise_bias_floor = 1e-3}, kSize);
  Vector x(kSize), before, gradient(kSize);
  for (int step = 0; step < 3000; ++step) {
    for (float& value : gradient) value = normal(random);
    before = x;
    optimizer->Begin(1, kDeviation * kDeviation);
    optimizer->Update(0, x, gradient, 1);
  }
  double mean = 0;
  for (std::size_t i = 0; i < kSize; ++i) mean += (before[i] - x[i]) / 1e-3 / kSize;
  EXPECT_NEAR(mean, 1, 0.05);  // m / sqrt(m^2); without the correction 1 / sqrt(5)
}

TEST(ParameterAverage, IsTheLoops) {
  constexpr double kDecay = 0.6;
  const Vector start = {1, -2, 3};
  ParameterAverage average(kDecay, start);
  std::vector<double> by_hand(start.begin(), start.end());
  Vector now = start;
  for (int step = 1; step <= 12; ++step) {
    const double decay = std::min(kDecay, (1.0 + step) / (10.0 + step));
    for (std::size_t i = 0; i < now.size(); ++i) {
      now[i] += 0.1F * static_cast<float>(step) - static_cast<float>(i);
      by_hand[i] = decay * by_hand[i] + (1 - decay) * now[i];
    }
    average.Add(now, step);
    for (std::size_t i = 0; i < now.size(); ++i) {
      ASSERT_NEAR(average.values()[i], by_hand[i], 1e-5) << step;
    }
  }
  EXPECT_GT(std::abs(average.values()[2] - now[2]), 0.5);
}

}  // namespace
}  // namespace cloister::trainer
