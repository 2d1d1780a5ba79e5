// The noise of a run of several ranks is one draw of the calibrated size, independent from step to
// step and from run to run, and the sum under it is that of one rank: each with trainers that break
// it, which the same measurement tells from the right one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <optional>
#include <vector>

#include "dp/clipping/unit_clipper.h"
#include "dp/mechanism/gaussian_mechanism.h"
#include "dp/mechanism/unnoised.h"
#include "model/model_files.h"
#include "tests/base/own_path.h"
#include "tests/dp/thread_link.h"
#include "tests/dp/unkept_ledger.h"
#include "tests/trainer/rank_threads.h"
#include "trainer/data/example.h"
#include "trainer/trainable_model.h"

namespace cloister::trainer {
namespace {

using dp::clipping::BookKeeping;

constexpr std::int64_t kParameters = 40'000;
constexpr std::int64_t kRanks = 3;
constexpr double kNoise = 2;
constexpr dp::GaussianMechanism::Parameters kMechanism = {
    .noise_multiplier = kNoise,
    .clip_norm = 1,
    .sampling_rate = 0.5,
    .dimension = kParameters,
    .spacing = 0x1p-24,
    .neighbours = dp::Neighbours::kAddOrRemoveOne};

security::AesCtrStream Stream(std::uint8_t seed) {
  security::SecretBytes key(32);
  key.mutable_bytes()[0] = seed;
  return security::AesCtrStream::FromKey(key);
}

dp::ClippedSum OfNoUnits() {
  return BookKeeping::Create({{.rows = kParameters}},
                             {.rule = {.clip_norms = {1}},
                              .neighbours = dp::Neighbours::kAddOrRemoveOne,
                              .spacing = kMechanism.spacing})
      .value()
      .Finish();
}

std::vector<double> Released(dp::ClippedSum sum, double noise_multiplier,
                             security::AesCtrStream random) {
  dp::GaussianMechanism::Parameters parameters = kMechanism;
  parameters.noise_multiplier = noise_multiplier;
  dp::UnkeptLedger ledger;
  auto mechanism = dp::GaussianMechanism::Create(parameters, std::move(random)).value();
  const auto released =
      mechanism.Release(std::move(sum), ledger, "set", {.job = "run", .round = 1, .attempt = 1});
  std::vector<double> values(kParameters);
  released->points().ReadScaled(0, kMechanism.spacing, std::span<double>(values));
  return values;
}

enum class Trainer {
  kRight,
  kNoiseOnEveryRank,      // the whole noise on each, then summed
  kSameNoiseOnEveryRank,  // 1/√R of it on each, from one seed
  kNoNoiseButOnOthers,    // the first forgets it
};

// What a step of no units releases.
std::vector<double> Step(Trainer trainer, std::uint8_t seed) {
  std::vector<double> whole(kParameters, 0);
  if (trainer == Trainer::kRight) {
    dp::OnThreads(kRanks, [&](dp::ThreadLink& link) {
      auto joined = dp::ClippedSum::JoinOnFirst(OfNoUnits(), link);
      ASSERT_TRUE(joined);
      if (joined->whole) whole = Released(std::move(*joined->whole), kNoise, Stream(seed));
    });
    return whole;
  }
  if (trainer == Trainer::kNoNoiseButOnOthers) return dp::Unnoised::Values(OfNoUnits());
  const bool same = trainer == Trainer::kSameNoiseOnEveryRank;
  const double own = same ? kNoise / std::sqrt(double{kRanks}) : kNoise;
  for (std::uint8_t rank = 0; rank < kRanks; ++rank) {
    const auto part = Released(OfNoUnits(), own,
                               Stream(same ? seed : static_cast<std::uint8_t>(seed + 50 * rank)));
    for (std::size_t i = 0; i < whole.size(); ++i) whole[i] += part[i];
  }
  return whole;
}

double Deviation(const std::vector<double>& values) {
  double squares = 0;
  for (const double value : values) squares += value * value;
  return std::sqrt(squares / static_cast<double>(values.size()));
}

// Four deviations of the estimate off at most.
bool IsOneDraw(const std::vector<double>& values) {
  return std::abs(Deviation(values) / kNoise - 1) < 4 / std::sqrt(2.0 * kParameters);
}

TEST(NoiseOnce, IsOneCalibratedDraw) {
  std::printf("seeds 1, 2\n");
  const std::vector<double> first = Step(Trainer::kRight, 1), second = Step(Trainer::kRight, 2);
  EXPECT_TRUE(IsOneDraw(first)) << Deviation(first);
  EXPECT_TRUE(IsOneDraw(second)) << Deviation(second);
  // Two steps' are independent: their difference is √2 as large.
  std::vector<double> difference;
  for (std::size_t i = 0; i < first.size(); ++i) {
    difference.push_back((first[i] - second[i]) / std::sqrt(2.0));
  }
  EXPECT_TRUE(IsOneDraw(difference)) << Deviation(difference);
  EXPECT_FALSE(IsOneDraw(Step(Trainer::kNoiseOnEveryRank, 1)));
  EXPECT_FALSE(IsOneDraw(Step(Trainer::kSameNoiseOnEveryRank, 1)));
  EXPECT_FALSE(IsOneDraw(Step(Trainer::kNoNoiseButOnOthers, 1)));
}

// Examples of a small network, and what ranks that share them out sum up to.
class RanksOfUnits : public testing::Test {
 protected:
  static std::unique_ptr<TrainableModel> Model() {
    const auto files =
        model::ModelFiles::Open(std::filesystem::path(CLOISTER_TEST_DATA) / "models" / "llama");
    const model::LoraConfig lora = {.rank = 2, .alpha = 4, .targets = {"q_proj", "down_proj"}};
    auto model = TrainableModel::Load(**files, lora).value();
    for (std::size_t i = 0; i < model->values().size(); ++i) {
      model->values()[i] = 0.01F * static_cast<float>(static_cast<int>(i % 13) - 6);
    }
    return model;
  }
  static std::vector<UnitExamples> Units(int count) {
    std::vector<UnitExamples> units;
    for (int unit = 0; unit < count; ++unit) {
      Example example;
      for (int t = 0; t < 8 + unit; ++t) {
        example.ids.push_back(static_cast<model::TokenId>((unit * 17 + t * 5) % 100));
        example.answer.push_back(t > 2 ? 1 : 0);
      }
      units.push_back({example});
    }
    return units;
  }
  static dp::ClippedSum SumOf(TrainableModel& model, const std::vector<UnitExamples>& units) {
    return std::move(model
                         .ClippedGradient(units,
                                          {.rule = {.clip_norms = {0.1}},
                                           .unit = dp::PrivacyUnit::kRecord,
                                           .neighbours = dp::Neighbours::kAddOrRemoveOne},
                                          {})
                         .value()
                         .sum);
  }
};

TEST_F(RanksOfUnits, SumUpToTheBitOfOne) {
  SetThreads(1);
  const auto model = Model();
  const std::vector<UnitExamples> units = Units(5);
  const std::vector<std::int64_t> alone = dp::Unnoised::Points(SumOf(*model, units)).All();
  ASSERT_THAT(alone, testing::Contains(testing::Ne(0)));
  for (const std::int64_t size : {2, 3, 7}) {  // of 7 ranks two have no unit
    std::vector<std::optional<dp::ClippedSum>> parts;
    for (std::int64_t rank = 0; rank < size; ++rank) {
      std::vector<UnitExamples> own;
      for (auto i = static_cast<std::size_t>(rank); i < units.size();
           i += static_cast<std::size_t>(size)) {
        own.push_back(units[i]);
      }
      parts.emplace_back(SumOf(*model, own));
    }
    OnRanks(size, [&](Ranks& ranks) {
      auto joined = dp::ClippedSum::JoinOnFirst(
          std::move(*parts[static_cast<std::size_t>(ranks.rank())]), ranks);
      ASSERT_TRUE(joined) << joined.error().message;
      if (!joined->whole) return;
      EXPECT_EQ(dp::Unnoised::Points(*joined->whole).All(), alone);
    });
  }
}

}  // namespace
}  // namespace cloister::trainer
