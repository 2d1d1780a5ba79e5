// What an audit sees of a run with matrix-factorization noise, of sound runs and of broken ones.
#include "trainer/audit/matched_filter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "dp/accounting/rdp_accountant.h"
#include "dp/audit/canary_set.h"
#include "dp/matrix_factorization/factorization.h"
#include "dp/matrix_factorization/sensitivity.h"

namespace cloister::trainer {
namespace {

constexpr std::int64_t kParameters = 5000;
constexpr std::int64_t kCanaries = 4000;
constexpr FixedOrder kOrder{.slots = 50, .batch_size = 10, .steps = 125};
constexpr dp::Participation kParticipation{.max_participations = 25, .min_separation = 5};
constexpr double kClipNorm = 0.5;
constexpr double kNoise = 1;
constexpr double kDelta = 1e-5;

enum class Fault {
  kNone,
  kNoNoise,
  kNoClip,
  kOneParticipation,  // noise as if each unit took part once
  kOftener,           // units take part at every step
};

class Audit {
 public:
  explicit Audit(std::uint8_t seed)
      : random_(security::AesCtrStream::FromKey(
            security::SecretBytes(std::vector<std::uint8_t>(32, seed)))),
        normal_(seed) {}

  dp::audit::Verdict Run(Fault fault) {
    auto canaries = dp::audit::CanarySet::Draw(kCanaries, kParameters, kClaimed, random_).value();
    MatchedFilter filter(encoder_, order_, sensitivity_, kParameters);
    std::vector<std::vector<double>> noise;
    for (std::int64_t step = 0; step < kOrder.steps; ++step) {
      noise.push_back(Noise(noise, fault));
      std::vector<double> sum = noise.back();
      const std::vector<std::int64_t> batch = order_.Batch(step);
      for (const dp::audit::Canary& canary : canaries.included()) {
        const bool turn =
            std::find(batch.begin(), batch.end(), filter.Slot(canary.coordinate)) != batch.end();
        if (!turn && fault != Fault::kOftener) continue;
        sum[static_cast<std::size_t>(canary.coordinate)] +=
            fault == Fault::kNoClip ? canary.value : std::copysign(kClipNorm, canary.value);
      }
      filter.Observe(sum);
    }
    matched_ = filter.Matched();
    canaries.Observe(matched_);
    return dp::audit::Judge(canaries, kClaimed, 0, kDelta, 0.95).value();
  }

  const std::vector<double>& matched() const { return matched_; }

 private:
  static constexpr dp::audit::ClaimedMechanism kClaimed = {
      .noise_multiplier = kNoise, .sampling_rate = 1, .clip_norm = kClipNorm, .steps = 1};

  // The next row of C^-1 z.
  std::vector<double> Noise(const std::vector<std::vector<double>>& before, Fault fault) {
    std::vector<double> row(kParameters);
    if (fault == Fault::kNoNoise) return row;
    const double sensitivity = fault == Fault::kOneParticipation ? 1 : sensitivity_;
    std::normal_distribution<double> z(0, kNoise * sensitivity * kClipNorm);
    const auto step = static_cast<std::int64_t>(before.size());
    for (double& value : row) value = z(normal_);
    for (std::int64_t below = 0; below < std::min(encoder_.bands(), step + 1); ++below) {
      const double entry = encoder_.entry(step - below, below) / double{dp::BandedMatrix::kOne};
      for (std::size_t i = 0; below > 0 && i < row.size(); ++i) {
        row[i] -= entry * before[static_cast<std::size_t>(step - below)][i];
      }
    }
    const double diagonal = encoder_.entry(step, 0) / double{dp::BandedMatrix::kOne};
    for (double& value : row) value /= diagonal;
    return row;
  }

  security::AesCtrStream random_;
  std::mt19937_64 normal_;
  dp::BandedMatrix encoder_ = dp::OptimizeToeplitz({kOrder.steps, 0}, 5).value();
  FixedOrderBatches order_ = FixedOrderBatches::Create(kOrder, kParticipation, 3).value();
  double sensitivity_ = dp::Sensitivity(encoder_, kParticipation).value();
  std::vector<double> matched_;
};

double Claimed() {
  const std::vector<dp::Event> events = {{kNoise, 1, 1, dp::Neighbours::kZeroOut}};
  return dp::RdpEpsilon(events, kDelta).value();
}

TEST(MatchedFilter, SeesAUnitAsOneReleaseOfTheClaimedNoise) {
  Audit audit(31);
  const dp::audit::Verdict verdict = audit.Run(Fault::kNone);
  EXPECT_LE(verdict.epsilon_lower, Claimed());
  // All that the releases know: an attack that lost the signal, or some of it, would show little.
  EXPECT_GT(verdict.epsilon_lower, 0.3 * Claimed());
  EXPECT_GT(verdict.epsilon_most, Claimed());
  // Noise of the claimed deviation, and on half of the canaries' coordinates one clip norm either
  // way.
  double squares = 0;
  for (const double value : audit.matched()) squares += value * value;
  const double share = kCanaries / 2.0 / kParameters;
  EXPECT_NEAR(squares / kParameters / (kClipNorm * kClipNorm), kNoise * kNoise + share, 0.15);
}

TEST(MatchedFilter, BrokenRunsAreCaught) {
  for (const Fault fault :
       {Fault::kNoNoise, Fault::kNoClip, Fault::kOneParticipation, Fault::kOftener}) {
    EXPECT_GT(Audit(32).Run(fault).epsilon_lower, Claimed()) << static_cast<int>(fault);
  }
}

}  // namespace
}  // namespace cloister::trainer
