// Steps of several ranks are those of one: for every optimizer, with and without an average, along
// sums and along private releases.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "dp/clipping/unit_clipper.h"
#include "dp/mechanism/gaussian_mechanism.h"
#include "tests/dp/unkept_ledger.h"
#include "tests/trainer/rank_threads.h"
#include "trainer/distributed/shared_loss.h"
#include "trainer/run/updater.h"

namespace cloister::trainer {
namespace {

using Vector = std::vector<float>;

constexpr std::size_t kSize = 1000;
constexpr std::int64_t kSteps = 6;

struct Kind {
  OptimizerKind optimizer;
  bool average;
};
constexpr Kind kKinds[] = {{OptimizerKind::kAdamW, false},
                           {OptimizerKind::kAdamW, true},
                           {OptimizerKind::kAdamW8Bit, true},
                           {OptimizerKind::kSgd, true}};

Recipe RecipeOf(const Kind& kind) {
  Recipe recipe;
  recipe.optimizer = {.kind = kind.optimizer, .learning_rate = 0.01, .weight_decay = 0.1};
  if (kind.optimizer == OptimizerKind::kSgd) {
    recipe.optimizer.momentum = 0.5;
  } else {
    recipe.optimizer.noise_bias_floor = 1e-6;
  }
  recipe.schedule = {.shape = Schedule::Shape::kLinear};
  if (kind.average) recipe.training.ema_decay = 0.5;
  return recipe;
}

// Of a rank at a step, in sixteenths: their sums are exact.
Vector GradientOf(std::int64_t rank, std::int64_t step) {
  Vector gradient(kSize);
  for (std::size_t i = 0; i < kSize; ++i) {
    const std::int64_t number = static_cast<std::int64_t>(i) * 7 + rank * 31 + step;
    gradient[i] = static_cast<float>(number % 64 - 30) / 16;
  }
  return gradient;
}

Vector SumOf(std::int64_t ranks, std::int64_t step) {
  Vector sum(kSize);
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    const Vector own = GradientOf(rank, step);
    for (std::size_t i = 0; i < kSize; ++i) sum[i] += own[i];
  }
  return sum;
}

// A release of no units, the same for the same seed.
NoisedGradient ReleaseOf(std::uint8_t seed) {
  constexpr double kSpacing = 0x1p-24;
  auto sum = dp::clipping::BookKeeping::Create({{.rows = kSize}},
                                               {.rule = {.clip_norms = {1}},
                                                .neighbours = dp::Neighbours::kAddOrRemoveOne,
                                                .spacing = kSpacing})
                 .value()
                 .Finish();
  security::SecretBytes key(32);
  key.mutable_bytes()[0] = seed;
  auto mechanism = dp::GaussianMechanism::Create({.noise_multiplier = 2,
                                                  .clip_norm = 1,
                                                  .sampling_rate = 0.5,
                                                  .dimension = kSize,
                                                  .spacing = kSpacing,
                                                  .neighbours = dp::Neighbours::kAddOrRemoveOne},
                                                 security::AesCtrStream::FromKey(key))
                       .value();
  dp::UnkeptLedger ledger;
  auto noised =
      mechanism.Release(std::move(sum), ledger, "set", {.job = "run", .round = seed, .attempt = 1});
  const double variance = 0.01 * seed;  // another at each step
  return {std::move(noised).value(), kSize, kSpacing, variance};
}

void TakeSteps(Updater& updater, Ranks& ranks, std::int64_t of_ranks, std::int64_t first,
               std::int64_t last) {
  for (std::int64_t step = first; step <= last; ++step) {
    if (step % 2 == 0) {
      const NoisedGradient released = ReleaseOf(static_cast<std::uint8_t>(step));
      ASSERT_TRUE(updater.Step(step, ranks.first() ? &released : nullptr));
    } else {
      const Vector own = ranks.size() == 1 ? SumOf(of_ranks, step) : GradientOf(ranks.rank(), step);
      ASSERT_TRUE(updater.Step(step, own, 0.25));
    }
    ASSERT_TRUE(updater.moved());
  }
}

struct Outcome {
  Vector parameters, average;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome EndOf(Updater& updater, const Vector& parameters) {
  Outcome outcome{.parameters = parameters, .average = {}};
  {
    const Updater::Averaged averaged(updater);
    EXPECT_TRUE(averaged.status());
    outcome.average = parameters;
  }
  EXPECT_EQ(parameters, outcome.parameters);
  EXPECT_TRUE(updater.Finish());
  EXPECT_EQ(parameters, outcome.average);
  return outcome;
}

// Where one rank gets to with the sums of so many.
Outcome Alone(const Kind& kind, std::int64_t of_ranks) {
  const auto alone = OneRank();
  Vector parameters(kSize, 1);
  Updater updater(RecipeOf(kind), kSteps, parameters, *alone);
  TakeSteps(updater, *alone, of_ranks, 1, kSteps);
  return EndOf(updater, parameters);
}

TEST(RanksUpdater, RanksMoveAsOneWouldToTheBit) {
  for (const Kind& kind : kKinds) {
    const Outcome start{.parameters = Vector(kSize, 1), .average = Vector(kSize, 1)};
    for (const std::int64_t size : {2, 3, 5}) {  // of 5 one has no shard
      const Outcome alone = Alone(kind, size);
      EXPECT_NE(alone, start);
      EXPECT_EQ(alone.parameters != alone.average, kind.average);
      OnRanks(size, [&](Ranks& ranks) {
        Vector parameters(kSize, 1);
        Updater updater(RecipeOf(kind), kSteps, parameters, ranks);
        TakeSteps(updater, ranks, size, 1, kSteps);
        EXPECT_EQ(EndOf(updater, parameters), alone);
      });
    }
  }
}

using Kept = std::map<std::string, std::vector<std::byte>>;

// Kept by so many ranks, gone on with by others: what is kept is what one keeps, too.
TEST(RanksUpdater, StateGoesFromAnyNumberOfRanksToAnyOther) {
  for (const Kind& kind : kKinds) {
    Kept kept, of_one;
    const auto keep = [](Kept& into) {
      return [&into](const StateArrays& whole) -> base::Status {
        for (const auto& [name, bytes] : whole) into[name].assign(bytes.begin(), bytes.end());
        return {};
      };
    };
    OnRanks(3, [&](Ranks& ranks) {
      Vector parameters(kSize, 1);
      Updater updater(RecipeOf(kind), kSteps, parameters, ranks);
      TakeSteps(updater, ranks, 3, 1, 3);
      const base::Status status = updater.WithState(keep(kept));
      ASSERT_TRUE(status) << status.error().message;
    });
    OnRanks(1, [&](Ranks& ranks) {
      Vector parameters(kSize, 1);
      Updater updater(RecipeOf(kind), kSteps, parameters, ranks);
      TakeSteps(updater, ranks, 3, 1, 3);
      ASSERT_TRUE(updater.WithState(keep(of_one)));
    });
    ASSERT_EQ(kept, of_one);
    const Outcome three = Alone(kind, 3);
    for (const std::int64_t size : {1, 2, 4}) {
      OnRanks(size, [&](Ranks& ranks) {
        Vector parameters(kSize, 0);
        Updater updater(RecipeOf(kind), kSteps, parameters, ranks);
        ASSERT_TRUE(updater.Restore(3, true, [&](const StateArrays& whole) -> base::Status {
          EXPECT_EQ(whole.size(), kept.size());
          for (const auto& [name, bytes] : whole) {
            const std::vector<std::byte>& from = kept.at(name);
            EXPECT_EQ(from.size(), bytes.size());
            std::memcpy(bytes.data(), from.data(), from.size());
          }
          return {};
        }));
        // Steps of three ranks' gradients, which the first of these has as one.
        for (std::int64_t step = 4; step <= kSteps; ++step) {
          if (step % 2 == 0) {
            TakeSteps(updater, ranks, 3, step, step);
          } else {
            ASSERT_TRUE(
                updater.Step(step, ranks.first() ? SumOf(3, step) : Vector(kSize, 0), 0.25));
          }
        }
        EXPECT_EQ(EndOf(updater, parameters), three);
      });
    }
  }
}

// The best parameters, or none: then what there was stays.
TEST(RanksUpdater, TakesWhatWasKeptAndLeavesWhatWasNot) {
  for (const bool average : {false, true}) {
    OnRanks(3, [&](Ranks& ranks) {
      Vector parameters(kSize, 1);
      Updater updater(RecipeOf({OptimizerKind::kSgd, average}), kSteps, parameters, ranks);
      TakeSteps(updater, ranks, 3, 1, 2);
      const Vector before = parameters;
      Vector averaged;
      {
        const Updater::Averaged now(updater);
        averaged = parameters;
      }
      ASSERT_TRUE(updater.RestoreKept([](const StateArrays&) { return base::Status(); }));
      EXPECT_EQ(parameters, before);
      {
        const Updater::Averaged now(updater);
        EXPECT_EQ(parameters, averaged);
      }
      ASSERT_TRUE(updater.RestoreKept([&](const StateArrays& kept) -> base::Status {
        EXPECT_EQ(kept.size(), 1);
        EXPECT_EQ(kept.begin()->second.size(), kSize * sizeof(float));
        const Vector best(kSize, 7);
        std::memcpy(kept.begin()->second.data(), best.data(), kSize * sizeof(float));
        return {};
      }));
      ASSERT_TRUE(updater.Finish());
      EXPECT_EQ(parameters, Vector(kSize, 7));
      const base::Status refused = updater.RestoreKept([](const StateArrays&) -> base::Status {
        return base::Fail(base::Code::kDataLoss, "none of them");
      });
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error().code, base::Code::kDataLoss);  // of all
    });
  }
}

TEST(RanksUpdater, ANumberThatIsNoneIsSeenByAll) {
  OnRanks(3, [](Ranks& ranks) {
    Vector parameters(kSize, 1);
    Updater updater(RecipeOf(kKinds[0]), kSteps, parameters, ranks);
    Vector gradient(kSize, 0.5F);
    if (ranks.rank() == 2) gradient[3] = std::numeric_limits<float>::quiet_NaN();
    const base::Status lost = updater.Step(1, gradient, 1);
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().code, base::Code::kFailedPrecondition);
  });
}

// Of the whole gradient's norm, whoever has which part of it.
TEST(RanksUpdater, ALongGradientIsShortenedAsAWhole) {
  const auto moved_by = [](std::int64_t size, double max_norm) {
    Vector first;
    OnRanks(size, [&](Ranks& ranks) {
      Recipe recipe;
      recipe.optimizer = {.kind = OptimizerKind::kSgd, .learning_rate = 1};
      recipe.training.max_grad_norm = max_norm;
      Vector parameters(kSize, 0);
      Updater updater(recipe, kSteps, parameters, ranks);
      const Vector gradient(kSize, 1.0F / static_cast<float>(ranks.size()));
      ASSERT_TRUE(updater.Step(1, gradient, 2));
      if (ranks.first()) first = parameters;
    });
    double squared = 0;
    for (const float value : first) squared += static_cast<double>(value) * value;
    return std::sqrt(squared);
  };
  const double whole = 2 * std::sqrt(static_cast<double>(kSize));
  for (const std::int64_t size : {2, 3}) {
    EXPECT_NEAR(moved_by(size, 0.25), 0.25, 1e-5);
    EXPECT_NEAR(moved_by(size, 2 * whole), whole, 1e-3 * whole);
  }
}

Example WithAnswer(std::size_t tokens) {
  Example example;
  example.ids.assign(tokens + 1, 1);
  example.answer.assign(tokens + 1, 1);
  example.answer[0] = 0;
  return example;
}

// Ranks of unequal parts, one of none: the mean is over all tokens, or all examples.
TEST(RanksUpdater, MeansAreOverTheWholeBatch) {
  OnRanks(3, [](Ranks& ranks) {
    std::vector<Example> own;
    if (ranks.rank() == 0) own = {WithAnswer(1), WithAnswer(5)};
    if (ranks.rank() == 1) own = {WithAnswer(2)};
    const bool none = own.empty();
    const double loss = none ? std::nan("") : static_cast<double>(ranks.rank() + 1);
    const auto by_token =
        TotalsOf(ranks, own, LossMean::kToken,
                 {.gradient = {}, .count = static_cast<double>(AnswerTokensOf(own)), .loss = loss});
    ASSERT_TRUE(by_token);
    EXPECT_EQ(by_token->count, 8);
    EXPECT_DOUBLE_EQ(by_token->loss, (6 * 1 + 2 * 2) / 8.0);
    EXPECT_EQ(by_token->tokens, 11);
    const auto by_example =
        TotalsOf(ranks, own, LossMean::kExample,
                 {.gradient = {}, .count = static_cast<double>(own.size()), .loss = loss});
    ASSERT_TRUE(by_example);
    EXPECT_EQ(by_example->count, 3);
    EXPECT_DOUBLE_EQ(by_example->loss, (2 * 1 + 1 * 2) / 3.0);
  });
}

}  // namespace
}  // namespace cloister::trainer
