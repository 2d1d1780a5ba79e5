// A model whose parameters are shared out to ranks computes what a whole one does: gradients,
// clipped sums and losses, on every fixture, step after step.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <vector>

#include "dp/mechanism/unnoised.h"
#include "model/model_files.h"
#include "tests/model/fixture_folders.h"
#include "tests/trainer/golden_examples.h"
#include "tests/trainer/rank_threads.h"
#include "trainer/run/updater.h"
#include "trainer/trainable_model.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kTokens = 1024;  // a micro-batch: all examples

struct Case {
  fs::path model;
  Precision precision = Precision::kFp32;
};

class ShardedModel : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    SetThreads(1);
    for (Example& example : GoldenExamples(GetParam().model)) {
      examples_.push_back(std::move(example));
    }
    // Of several lengths, so that ranks and lanes have unequal work.
    while (examples_.size() < 7) {
      Example shorter = examples_[examples_.size() % 2];
      const std::size_t tokens = std::max<std::size_t>(3, shorter.ids.size() - examples_.size());
      shorter.ids.resize(tokens);
      shorter.answer.resize(tokens);
      examples_.push_back(std::move(shorter));
    }
  }

  static std::unique_ptr<TrainableModel> Load(Ranks* ranks) {
    const auto files = model::ModelFiles::Open(GetParam().model).value();
    auto model = TrainableModel::Load(
        *files, std::nullopt,
        {.precision = GetParam().precision, .shard_parameters = ranks != nullptr}, ranks);
    EXPECT_TRUE(model) << model.error().message;
    return std::move(model).value();
  }

  // Of three ranks the second has none.
  std::vector<Example> PartOf(const Ranks& ranks) const {
    if (ranks.size() == 2) return ranks.Deal(examples_);
    std::vector<Example> part;
    for (std::size_t i = 0; i < examples_.size(); ++i) {
      if (ranks.rank() == (i % 3 == 0 ? 0 : 2)) part.push_back(examples_[i]);
    }
    return part;
  }

  static base::Result<TrainableModel::Clipped> Clipped(TrainableModel& model,
                                                       const std::vector<UnitExamples>& units,
                                                       dp::PrivacyUnit unit) {
    return model.ClippedGradient(units,
                                 {.rule = {.clip_norms = {0.7}},
                                  .unit = unit,
                                  .neighbours = dp::Neighbours::kAddOrRemoveOne},
                                 {});
  }

  std::vector<Example> examples_;
};

std::vector<UnitExamples> UnitsOf(const std::vector<Example>& examples) {
  std::vector<UnitExamples> units;
  for (const Example& example : examples) units.push_back({example});
  return units;
}

TEST_P(ShardedModel, KeepsItsShardAlone) {
  const auto whole = Load(nullptr);
  for (const std::int64_t size : {2, 3}) {
    OnRanks(size, [&](Ranks& ranks) {
      const auto model = Load(&ranks);
      const auto values = model->values();
      ASSERT_EQ(values.size(), whole->values().size());
      const Range own = ranks.Shard(values.size());
      for (std::size_t i = 0; i < values.size(); ++i) {
        ASSERT_EQ(values[i], i < own.begin || i >= own.end ? 0 : whole->values()[i]) << i;
      }
    });
  }
}

// To the bit where a rank has one micro-batch: what is added is added in the same order.
TEST_P(ShardedModel, GradientIsTheSumOfTheRanksWholeOnes) {
  for (const std::int64_t size : {2, 3}) {
    for (const std::int64_t micro_batch : {kTokens, std::int64_t{1}}) {
      OnRanks(size, [&](Ranks& ranks) {
        const std::vector<Example> part = PartOf(ranks);
        const auto model = Load(&ranks);
        const auto own = Load(nullptr);
        const auto alone = own->Gradient(part, LossMean::kExample, micro_batch, {});
        ASSERT_TRUE(alone);
        std::vector<float> expected(ranks.Shard(alone->gradient.size()).size());
        ASSERT_TRUE(ranks.SumShards(alone->gradient, expected));
        for (int again = 0; again < 2; ++again) {
          const auto plain = model->Gradient(part, LossMean::kExample, micro_batch, {});
          ASSERT_TRUE(plain) << plain.error().message;
          EXPECT_EQ(plain->count, alone->count);
          if (!part.empty()) {
            EXPECT_EQ(plain->loss, alone->loss);
          }
          ASSERT_EQ(plain->gradient.size(), expected.size());
          double apart = 0, norm = 0;
          for (std::size_t i = 0; i < expected.size(); ++i) {
            if (micro_batch == kTokens) {
              ASSERT_EQ(plain->gradient[i], expected[i]) << i;
            }
            apart += std::pow(plain->gradient[i] - expected[i], 2);
            norm += std::pow(expected[i], 2);
          }
          EXPECT_LE(std::sqrt(apart), 1e-5 * std::sqrt(norm));
          EXPECT_TRUE(expected.empty() || norm > 0);
        }
      });
    }
  }
}

// Whatever the number of lanes: one, or on the first rank two when a pass has been measured. (On
// one rank alone: LibTorch takes the number of a new thread's from whoever set it last in the
// process.)
TEST_P(ShardedModel, ClippedSumIsTheWholeOnesToTheBit) {
  OnRanks(3, [&](Ranks& ranks) {
    SetThreads(ranks.first() ? 2 : 1);
    const std::vector<Example> part = PartOf(ranks);
    const auto model = Load(&ranks), own = Load(nullptr);
    for (const dp::PrivacyUnit unit : {dp::PrivacyUnit::kRecord, dp::PrivacyUnit::kUser}) {
      std::vector<UnitExamples> units = UnitsOf(part);
      if (unit == dp::PrivacyUnit::kUser && units.size() > 2) {  // one of them of two records
        units[0].push_back(units.back()[0]);
        units.pop_back();
      }
      const auto expected = Clipped(*own, units, unit);
      ASSERT_TRUE(expected) << expected.error().message;
      for (int again = 0; again < 3; ++again) {
        const auto clipped = Clipped(*model, units, unit);
        ASSERT_TRUE(clipped) << clipped.error().message;
        EXPECT_EQ(dp::Unnoised::Values(clipped->sum), dp::Unnoised::Values(expected->sum));
        if (!part.empty()) {
          EXPECT_EQ(clipped->private_loss, expected->private_loss);
        }
      }
    }
    SetThreads(1);
  });
}

TEST_P(ShardedModel, LossIsTheWholeOnes) {
  OnRanks(2, [&](Ranks& ranks) {
    const std::vector<Example> part = ranks.Deal(examples_);
    const auto model = Load(&ranks), own = Load(nullptr);
    for (const std::int64_t micro_batch : {kTokens, std::int64_t{1}}) {
      EXPECT_EQ(model->Loss(part, micro_batch, {}).value(),
                own->Loss(part, micro_batch, {}).value());
    }
  });
}

// Parameters that a step moved are those of the next, on every rank.
TEST_P(ShardedModel, StepsAreThoseOfWholeParameters) {
  Recipe recipe;
  recipe.optimizer = {.kind = OptimizerKind::kSgd, .learning_rate = 0.05, .momentum = 0.5};
  recipe.training.ema_decay = 0.5;
  OnRanks(3, [&](Ranks& ranks) {
    const std::vector<Example> part = PartOf(ranks);
    Recipe sharding = recipe;
    sharding.training.compute.shard_parameters = true;
    const auto model = Load(&ranks), whole = Load(nullptr);
    Updater updater(sharding, 4, model->values(), ranks);
    Updater of_whole(recipe, 4, whole->values(), ranks);
    for (std::int64_t step = 1; step <= 4; ++step) {
      const auto gradient = model->Gradient(part, LossMean::kExample, kTokens, {});
      const auto of_all = whole->Gradient(part, LossMean::kExample, kTokens, {});
      ASSERT_TRUE(gradient && of_all);
      ASSERT_TRUE(updater.Step(step, gradient->gradient, 0.1));
      ASSERT_TRUE(of_whole.Step(step, of_all->gradient, 0.1));
      const Range own = ranks.Shard(model->values().size());
      const auto same = [&](std::size_t begin, std::size_t end) {
        return std::equal(model->values().begin() + static_cast<std::ptrdiff_t>(begin),
                          model->values().begin() + static_cast<std::ptrdiff_t>(end),
                          whole->values().begin() + static_cast<std::ptrdiff_t>(begin));
      };
      EXPECT_TRUE(same(own.begin, own.end));
      Updater::Averaged averaged(updater);
      const Updater::Averaged of_all_averaged(of_whole);
      ASSERT_TRUE(averaged.OnFirst());
      EXPECT_TRUE(same(own.begin, own.end));
      if (ranks.first()) {
        EXPECT_TRUE(same(0, model->values().size()));
      }
    }
    ASSERT_TRUE(updater.Finish());
    ASSERT_TRUE(of_whole.Finish());
    if (ranks.first()) {
      EXPECT_TRUE(
          std::equal(model->values().begin(), model->values().end(), whole->values().begin()));
    }
  });
}

// In the middle of a step, on one rank: all end with it, and can go on.
TEST_P(ShardedModel, WhatStopsOneRankStopsAll) {
  OnRanks(3, [&](Ranks& ranks) {
    const std::vector<Example> part = PartOf(ranks);
    const auto model = Load(&ranks);
    const auto stop = [&](std::int64_t) { return ranks.rank() != 0; };
    const auto plain = model->Gradient(part, LossMean::kExample, 1, stop);
    ASSERT_FALSE(plain);
    EXPECT_EQ(plain.error().code, base::Code::kCancelled);
    const auto clipped = model->ClippedGradient(UnitsOf(part),
                                                {.rule = {.clip_norms = {1}},
                                                 .unit = dp::PrivacyUnit::kRecord,
                                                 .neighbours = dp::Neighbours::kAddOrRemoveOne},
                                                stop);
    ASSERT_FALSE(clipped);
    EXPECT_EQ(clipped.error().code, base::Code::kCancelled);
    EXPECT_TRUE(model->Gradient(part, LossMean::kExample, 1, {}));
  });
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const fs::path& folder : cloister::fixtures::FixtureFolders()) cases.push_back({folder});
  cases.push_back({fs::path(CLOISTER_TEST_DATA) / "models/llama-tied-rope3", Precision::kBf16});
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Trainer, ShardedModel, testing::ValuesIn(Cases()), [](const auto& info) {
  return cloister::fixtures::FixtureName(info.param.model) +
         (info.param.precision == Precision::kBf16 ? "_bf16" : "");
});

}  // namespace
}  // namespace cloister::trainer
