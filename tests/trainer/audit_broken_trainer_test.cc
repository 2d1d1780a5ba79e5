// The audit against a trainer that is right and against trainers that are broken, all on the
// clipping engine, mechanism and ledger that training uses.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>

#include "dp/accounting/rdp_accountant.h"
#include "dp/audit/canary_set.h"
#include "dp/clipping/unit_clipper.h"
#include "dp/mechanism/gaussian_mechanism.h"
#include "dp/mechanism/unnoised.h"
#include "model/model_files.h"
#include "tests/base/own_path.h"
#include "tests/dp/unkept_ledger.h"
#include "trainer/audit/canary_gradient.h"
#include "trainer/data/sampling.h"
#include "trainer/trainable_model.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;
using dp::audit::CanarySet;
using dp::clipping::BookKeeping;

constexpr double kClipNorm = 0.5;
constexpr double kNoise = 4;
constexpr double kRate = 0.5;
constexpr std::int64_t kSteps = 20;
constexpr double kDelta = 1e-5;
constexpr std::int64_t kCanaries = 2000;
constexpr std::int64_t kRecords = 40;
constexpr std::int64_t kMicroBatch = 32;
// Two matrices; records have gradients in the second alone.
const std::vector<dp::clipping::ParameterShape> kShapes = {
    {.rows = 50, .columns = 80, .offset = 0}, {.rows = 4, .columns = 25, .offset = 4000}};
constexpr std::int64_t kParameters = 4100;
constexpr std::int64_t kCanaryParameters = 4000;

constexpr dp::GaussianMechanism::Parameters kMechanism = {
    .noise_multiplier = kNoise,
    .clip_norm = kClipNorm,
    .sampling_rate = kRate,
    .dimension = kParameters,
    .spacing = kClipNorm * 0x1p-24,
    .neighbours = dp::Neighbours::kAddOrRemoveOne};

security::AesCtrStream Stream(std::uint8_t seed) {
  std::printf("seed %d\n", seed);
  security::SecretBytes key(32);
  key.mutable_bytes()[0] = seed;
  return security::AesCtrStream::FromKey(key);
}

enum class Fault {
  kNone,
  kNoNoise,
  kNoClip,
  kSameNoise,          // each step's noise is the first one's
  kNoiseByMicroBatch,  // the whole noise for each micro-batch of a step
  kNoiseShared,        // each of n micro-batches has 1/n of the noise, which sums to 1/√n of it
};

struct Outcome {
  dp::audit::Verdict verdict;
  double claimed = 0;           // ε of the ledger
  double noise_multiplier = 0;  // as measured where no unit has a gradient
  double step_correlation = 0;  // of such noise between a step and the next
};

class Trainer {
 public:
  Trainer(Fault fault, std::uint8_t seed)
      : fault_(fault),
        seed_(seed),
        folder_(OwnPath("audit_trainer_" + std::to_string(seed))),
        random_(Stream(seed)),
        mechanism_(dp::GaussianMechanism::Create(kMechanism, Stream(seed + 100)).value()),
        sampler_(kNoise * kClipNorm / kMechanism.spacing, Stream(seed + 50)),
        canaries_(CanarySet::Draw(kCanaries, kCanaryParameters, kClaimed, random_).value()) {
    at::set_num_threads(1);
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    if (NoisesMicroBatches()) {
      ledger_ = std::make_unique<dp::UnkeptLedger>();
    } else {
      ledger_ = dp::Ledger::Open(folder_ / "ledger").value();
    }
    const std::vector<std::string> units = {"a", "b"};
    data_set_ = ledger_
                    ->RegisterDataSet("data", units, dp::PrivacyUnit::kRecord,
                                      dp::Neighbours::kAddOrRemoveOne, {64, 0.1})
                    .value();
    at::manual_seed(seed);
    records_ = at::randn({kRecords, 7, 4 + 25});
  }
  ~Trainer() {
    ledger_.reset();
    fs::remove_all(folder_);
  }

  Outcome Run() {
    std::vector<std::vector<double>> releases;
    for (std::int64_t step = 1; step <= kSteps; ++step) {
      releases.push_back(Step(step));
      canaries_.Observe(releases.back());
    }
    Outcome outcome;
    outcome.verdict = dp::audit::Judge(canaries_, kClaimed, 0, kDelta, 0.95).value();
    dp::Event event = mechanism_.event();
    event.steps = kSteps;
    event.delta_slack *= kSteps;
    outcome.claimed = dp::RdpEpsilon({&event, 1}, kDelta).value();
    MeasureNoise(releases, outcome);
    return outcome;
  }

 private:
  static constexpr dp::audit::ClaimedMechanism kClaimed = {
      .noise_multiplier = kNoise, .sampling_rate = kRate, .clip_norm = kClipNorm, .steps = kSteps};

  bool NoisesMicroBatches() const {
    return fault_ == Fault::kNoiseByMicroBatch || fault_ == Fault::kNoiseShared;
  }

  // Sums of micro-batches, or of all drawn units.
  std::vector<dp::ClippedSum> Sums(std::int64_t micro_batch) {
    const auto included = canaries_.included();
    const auto units = kRecords + static_cast<std::int64_t>(included.size());
    const double clip_norm = fault_ == Fault::kNoClip ? 1e6 : kClipNorm;
    const auto engine = [&] {
      return BookKeeping::Create(kShapes, {.rule = {.clip_norms = {clip_norm}},
                                           .unit = dp::PrivacyUnit::kRecord,
                                           .neighbours = dp::Neighbours::kAddOrRemoveOne})
          .value();
    };
    std::vector<dp::ClippedSum> sums;
    std::optional<BookKeeping> current(engine());
    std::optional<dp::clipping::UnitClipper> clipper(*current);
    std::int64_t in_batch = 0;
    for (const std::int64_t unit : PoissonDraw(units, kRate, random_)) {
      if (in_batch == micro_batch) {
        sums.push_back(std::move(*current).Finish());
        clipper.emplace(current.emplace(engine()));
        in_batch = 0;
      }
      if (unit < kRecords) {
        const at::Tensor record = records_[unit];
        clipper->ObserveMatrix(1, record.narrow(1, 0, 4), record.narrow(1, 4, 25));
      } else {
        ObserveCanary(included[static_cast<std::size_t>(unit - kRecords)], kShapes, *clipper);
      }
      EXPECT_TRUE(clipper->EndUnit());
      ++in_batch;
    }
    sums.push_back(std::move(*current).Finish());
    return sums;
  }

  std::vector<double> Step(std::int64_t step) {
    std::vector<dp::ClippedSum> sums = Sums(NoisesMicroBatches() ? kMicroBatch : 1 << 20);
    std::vector<double> total(kParameters);
    const double share = fault_ == Fault::kNoiseShared ? 1 / static_cast<double>(sums.size()) : 1;
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const std::vector<double> values = dp::Unnoised::Values(sums[i]);
      const std::vector<double> noised =
          Noised(std::move(sums[i]), {"run", step, static_cast<std::int64_t>(i) + 1});
      for (std::size_t k = 0; k < total.size(); ++k) {
        total[k] += values[k] + share * (noised[k] - values[k]);
      }
    }
    return total;
  }

  std::vector<double> Noised(dp::ClippedSum sum, const dp::SpendKey& key) {
    std::vector<double> values = dp::Unnoised::Values(sum);
    if (fault_ == Fault::kNoNoise) return values;
    if (fault_ == Fault::kNoClip) {  // the mechanism has no part in it: it refuses such a sum
      std::vector<std::int64_t> noise(values.size());
      sampler_.Fill(noise);
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] += static_cast<double>(noise[i]) * kMechanism.spacing;
      }
      EXPECT_FALSE(mechanism_.Release(std::move(sum), *ledger_, data_set_, key));
      return values;
    }
    if (fault_ == Fault::kSameNoise) {
      mechanism_ = dp::GaussianMechanism::Create(kMechanism, Stream(seed_ + 100)).value();
    }
    const auto noised = mechanism_.Release(std::move(sum), *ledger_, data_set_, key);
    EXPECT_TRUE(noised) << noised.error().message;
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<double>(noised->lattice()[i]) * noised->spacing();
    }
    return values;
  }

  void MeasureNoise(const std::vector<std::vector<double>>& releases, Outcome& outcome) const {
    std::vector<bool> quiet(kCanaryParameters, true);
    for (const auto& canary : canaries_.included()) {
      quiet[static_cast<std::size_t>(canary.coordinate)] = false;
    }
    double squares = 0;
    double products = 0;
    double values = 0;
    for (std::size_t step = 0; step < releases.size(); ++step) {
      for (std::size_t i = 0; i < quiet.size(); ++i) {
        if (!quiet[i]) continue;
        squares += releases[step][i] * releases[step][i];
        if (step > 0) products += releases[step][i] * releases[step - 1][i];
        ++values;
      }
    }
    outcome.noise_multiplier = std::sqrt(squares / values) / kClipNorm;
    outcome.step_correlation = squares > 0 ? products / squares : 0;
  }

  Fault fault_;
  std::uint8_t seed_;
  fs::path folder_;
  security::AesCtrStream random_;
  dp::GaussianMechanism mechanism_;
  dp::LatticeSampler sampler_;
  CanarySet canaries_;
  std::unique_ptr<dp::Ledger> ledger_;
  std::string data_set_;
  at::Tensor records_;  // [records, tokens, rows + columns]
};

Outcome RunOf(Fault fault, std::uint8_t seed) {
  const Outcome outcome = Trainer(fault, seed).Run();
  std::printf("claimed %.3f, shown %.3f of %.3f (%lld of %lld guesses), noise %.3f, next %.3f\n",
              outcome.claimed, outcome.verdict.epsilon_lower, outcome.verdict.epsilon_most,
              static_cast<long long>(outcome.verdict.seen.correct),
              static_cast<long long>(outcome.verdict.seen.guesses), outcome.noise_multiplier,
              outcome.step_correlation);
  return outcome;
}

// Some 60 000 values: these are ten standard deviations.
bool NoiseIsAsClaimed(const Outcome& outcome) {
  return std::abs(outcome.noise_multiplier / kNoise - 1) < 0.03 &&
         std::abs(outcome.step_correlation) < 0.04;
}

TEST(TrainerAudit, LeavesARightTrainersEpsilonStanding) {
  for (std::uint8_t seed : {1, 2, 3}) {
    const Outcome outcome = RunOf(Fault::kNone, seed);
    EXPECT_LE(outcome.verdict.epsilon_lower, outcome.claimed);
    EXPECT_GT(outcome.verdict.epsilon_lower, 0.2) << "it must see something to mean something";
    EXPECT_GT(outcome.verdict.epsilon_most, outcome.claimed);
    EXPECT_TRUE(NoiseIsAsClaimed(outcome));
  }
}

TEST(TrainerAudit, CatchesATrainerWithoutNoise) {
  const Outcome outcome = RunOf(Fault::kNoNoise, 11);
  EXPECT_GT(outcome.verdict.epsilon_lower, outcome.claimed);
  EXPECT_FALSE(NoiseIsAsClaimed(outcome));
}

TEST(TrainerAudit, CatchesATrainerThatDoesNotClip) {
  const Outcome outcome = RunOf(Fault::kNoClip, 12);
  EXPECT_GT(outcome.verdict.epsilon_lower, outcome.claimed);
}

TEST(TrainerAudit, CatchesATrainerWhoseNoiseIsTheSameEachStep) {
  const Outcome outcome = RunOf(Fault::kSameNoise, 13);
  EXPECT_GT(outcome.verdict.epsilon_lower, outcome.claimed);
  EXPECT_FALSE(NoiseIsAsClaimed(outcome));
}

TEST(TrainerAudit, CatchesATrainerThatSplitsItsNoiseOverMicroBatches) {
  const Outcome outcome = RunOf(Fault::kNoiseShared, 14);
  EXPECT_GT(outcome.verdict.epsilon_lower, outcome.claimed);
  EXPECT_FALSE(NoiseIsAsClaimed(outcome));
}

// More noise than claimed costs accuracy and no privacy: no audit of ε may object, but the measured
// noise is not the claimed one's.
TEST(TrainerAudit, NoiseForEachMicroBatchIsCaughtByItsSize) {
  const Outcome outcome = RunOf(Fault::kNoiseByMicroBatch, 15);
  EXPECT_LE(outcome.verdict.epsilon_lower, outcome.claimed);
  EXPECT_GT(outcome.noise_multiplier, 2 * kNoise);
  EXPECT_FALSE(NoiseIsAsClaimed(outcome));
}

TEST(TrainerAudit, IsTheSameForTheSameSeed) {
  const Outcome once = RunOf(Fault::kNone, 16);
  const Outcome again = RunOf(Fault::kNone, 16);
  EXPECT_EQ(once.verdict.epsilon_lower, again.verdict.epsilon_lower);
  EXPECT_EQ(once.noise_multiplier, again.noise_multiplier);
}

// In a network's own sum: along its coordinate, and no longer than the clip norm.
TEST(TrainerAudit, CanaryIsClippedAsARecordIs) {
  const auto files =
      model::ModelFiles::Open(std::string(CLOISTER_TEST_DATA) + "/models/llama").value();
  const auto network =
      TrainableModel::Load(*files, model::LoraConfig{.rank = 1, .alpha = 4, .targets = {"v_proj"}});
  ASSERT_TRUE(network) << network.error().message;
  const std::int64_t last = (*network)->parameters() - 1;
  const std::vector<dp::audit::Canary> canaries = {
      {0, 100 * kClipNorm}, {17, -100 * kClipNorm}, {last, 100 * kClipNorm}};
  const auto clipped = (*network)->ClippedGradient({},
                                                   {.rule = {.clip_norms = {kClipNorm}},
                                                    .unit = dp::PrivacyUnit::kRecord,
                                                    .neighbours = dp::Neighbours::kAddOrRemoveOne,
                                                    .canaries = canaries},
                                                   {});
  ASSERT_TRUE(clipped) << clipped.error().message;
  std::vector<double> values = dp::Unnoised::Values(clipped->sum);
  for (const auto& canary : canaries) {
    double& value = values[static_cast<std::size_t>(canary.coordinate)];
    EXPECT_EQ(std::signbit(value), std::signbit(canary.value));
    EXPECT_LE(std::abs(value), kClipNorm);
    EXPECT_NEAR(std::abs(value), kClipNorm, 1e-4 * kClipNorm);
    value = 0;
  }
  EXPECT_EQ(values, std::vector<double>(values.size()));
}

}  // namespace
}  // namespace cloister::trainer
