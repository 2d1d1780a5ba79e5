#include "dp/matrix_factorization/matrix_mechanism.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "dp/accounting/rdp_accountant.h"
#include "dp/matrix_factorization/factorization.h"
#include "tests/dp/mechanism_fakes.h"
#include "tests/dp/rounded_gaussian.h"

namespace cloister::dp {
namespace {

using clipping::ClippedSumFactory;
using Bytes = std::span<const std::uint8_t>;

constexpr std::int64_t kSteps = 30;
constexpr std::int64_t kDimension = 5000;

MatrixMechanism::Parameters Good() {
  MatrixMechanism::Parameters p;
  p.noise_multiplier = 2;
  p.clip_norm = 0.5;
  p.dimension = kDimension;
  p.spacing = 0x1p-16;
  p.participation = {4, 8};
  return p;
}

BandedMatrix Matrix() {
  auto matrix = OptimizeToeplitz({kSteps, 0}, 8);
  EXPECT_TRUE(matrix);
  return std::move(matrix).value();
}

MatrixMechanism Make(std::uint8_t seed = 95) {
  auto mechanism = MatrixMechanism::Create(Good(), Matrix(), StreamOfSeed(seed));
  EXPECT_TRUE(mechanism) << (mechanism ? "" : mechanism.error().message);
  return std::move(mechanism).value();
}

ClippedSum Sum(double value = 0, Neighbours neighbours = Neighbours::kZeroOut) {
  return ClippedSumFactory::Make(std::vector<double>(kDimension, value), Good().spacing, 0.5, 0,
                                 neighbours);
}

const SpendKey kKey{"job", 0, 0};
base::Status Kept(const CorrelatedNoise&) { return {}; }

TEST(MatrixMechanism, CostsOneGaussianForAllSteps) {
  FakeLedger ledger;
  MatrixMechanism mechanism = Make();
  for (std::int64_t t = 0; t < kSteps; ++t) {
    ASSERT_TRUE(mechanism.Release(Sum(), ledger, "set", kKey, Kept)) << t;
  }
  ASSERT_EQ(ledger.spends.size(), 1u);
  const Event& event = ledger.spends[0].event;
  EXPECT_EQ(event, mechanism.event());
  EXPECT_TRUE(Validate(event));
  const double excess = Good().spacing * std::sqrt(static_cast<double>(kDimension));
  EXPECT_NEAR(event.noise_multiplier, 2 / (1 + excess / 0.5), 1e-11);
  EXPECT_LT(event.noise_multiplier, 2);
  EXPECT_EQ(event.sampling_rate, 1);
  EXPECT_EQ(event.steps, 1);
  EXPECT_EQ(event.neighbours, Neighbours::kZeroOut);
  EXPECT_GT(event.delta_slack, 0);
  EXPECT_LT(event.delta_slack, 1e-60);
  const auto more = mechanism.Release(Sum(), ledger, "set", kKey, Kept);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, base::Code::kFailedPrecondition);
}

// One participation of a unit column at 4 participations: noise of the first step is
// 2 * sqrt(4) * clip_norm over the diagonal entry.
TEST(MatrixMechanism, ScalesTheNoiseByTheSensitivity) {
  FakeLedger ledger;
  MatrixMechanism mechanism = Make();
  const auto noised = mechanism.Release(Sum(0.003), ledger, "set", kKey, Kept);
  ASSERT_TRUE(noised);
  EXPECT_EQ(noised->spacing(), 0x1p-16);
  const double diagonal = Matrix().entry(0, 0) / double{BandedMatrix::kOne};
  std::vector<std::int64_t> noise;
  for (const std::int64_t n : noised->lattice()) {
    noise.push_back(n - std::llrint(0.003 / 0x1p-16));
  }
  EXPECT_EQ(FindDeviation(noise, 2 * 2 * 0.5 / 0x1p-16 / diagonal), "");
  // A noise that forgot the participations, or the matrix, is found.
  EXPECT_NE(FindDeviation(noise, 2 * 0.5 / 0x1p-16 / diagonal), "");
  EXPECT_NE(FindDeviation(noise, 2 * 2 * 0.5 / 0x1p-16), "");
}

TEST(MatrixMechanism, DebitsThenPersistsThenReleases) {
  FakeLedger ledger;
  ledger.failing = true;
  MatrixMechanism mechanism = Make();
  int persisted = 0;
  const auto count = [&](const CorrelatedNoise& noise) -> base::Status {
    EXPECT_EQ(ledger.spends.size(), 2u);  // the refused debit and the one that passed
    EXPECT_EQ(noise.step(), ++persisted);
    return {};
  };
  auto refused = mechanism.Release(Sum(), ledger, "set", kKey, count);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kResourceExhausted);
  EXPECT_EQ(persisted, 0);
  EXPECT_EQ(mechanism.step(), 0);
  ledger.failing = false;
  EXPECT_TRUE(mechanism.Release(Sum(), ledger, "set", kKey, count));
  EXPECT_EQ(persisted, 1);
  // A step whose state is not durable is given up: nothing is released, the next one is another.
  const auto lost =
      mechanism.Release(Sum(), ledger, "set", kKey, [](const CorrelatedNoise&) -> base::Status {
        return base::Fail(base::Code::kUnavailable, "disk full");
      });
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, base::Code::kUnavailable);
  EXPECT_EQ(mechanism.step(), 2);
}

TEST(MatrixMechanism, RefusesSumsOfAnotherKind) {
  FakeLedger ledger;
  MatrixMechanism mechanism = Make();
  const auto code = [&](ClippedSum sum) {
    const auto noised = mechanism.Release(std::move(sum), ledger, "set", kKey, Kept);
    return noised ? base::Code::kOk : noised.error().code;
  };
  EXPECT_EQ(code(Sum(0, Neighbours::kAddOrRemoveOne)), base::Code::kInvalidArgument);
  EXPECT_EQ(code(Sum(0, Neighbours::kReplaceOne)), base::Code::kInvalidArgument);
  EXPECT_EQ(code(ClippedSumFactory::Make(std::vector<double>(3), Good().spacing, 0.5, 0,
                                         Neighbours::kZeroOut)),
            base::Code::kInvalidArgument);
  EXPECT_EQ(code(ClippedSumFactory::Make(std::vector<double>(kDimension), Good().spacing, 0.5, 0.1,
                                         Neighbours::kZeroOut)),
            base::Code::kInvalidArgument);
  EXPECT_TRUE(ledger.spends.empty());
  EXPECT_EQ(mechanism.step(), 0);
}

TEST(MatrixMechanism, ResumesWithoutANewDebitAndNeverBehindAReleasedStep) {
  FakeLedger ledger;
  MatrixMechanism mechanism = Make();
  security::SecretBytes state;
  for (int t = 0; t < 12; ++t) {
    ASSERT_TRUE(mechanism.Release(Sum(), ledger, "set", kKey,
                                  [&](const CorrelatedNoise& noise) -> base::Status {
                                    state = noise.Serialize();
                                    return {};
                                  }));
  }
  const std::vector<Bytes> states = {state.bytes()};
  const auto behind = MatrixMechanism::Restore(Good(), Matrix(), StreamOfSeed(96), states, 13);
  ASSERT_FALSE(behind);
  EXPECT_EQ(behind.error().code, base::Code::kFailedPrecondition);
  auto resumed = MatrixMechanism::Restore(Good(), Matrix(), StreamOfSeed(96), states, 12);
  ASSERT_TRUE(resumed) << resumed.error().message;
  EXPECT_EQ(resumed->step(), 12);
  for (std::int64_t t = 12; t < kSteps; ++t) {
    ASSERT_TRUE(resumed->Release(Sum(), ledger, "set", kKey, Kept)) << t;
  }
  EXPECT_EQ(ledger.spends.size(), 1u);
}

TEST(MatrixMechanism, RefusesParametersThatBreakTheArgument) {
  const auto created = [](const MatrixMechanism::Parameters& p) {
    return MatrixMechanism::Create(p, Matrix(), StreamOfSeed(97)).has_value();
  };
  EXPECT_TRUE(created(Good()));
  const auto broken = [&](auto change) {
    MatrixMechanism::Parameters p = Good();
    change(p);
    return !created(p);
  };
  using P = MatrixMechanism::Parameters;
  for (const double bad : {0.0, -1.0, std::nan(""), 1e300}) {
    EXPECT_TRUE(broken([&](P& p) { p.noise_multiplier = bad; })) << bad;
    EXPECT_TRUE(broken([&](P& p) { p.clip_norm = bad; })) << bad;
    EXPECT_TRUE(broken([&](P& p) { p.spacing = bad; })) << bad;
  }
  EXPECT_TRUE(broken([](P& p) { p.dimension = 0; }));
  EXPECT_TRUE(broken([](P& p) { p.spacing = 1e-4; }));     // rounding passes 1 % of the norm
  EXPECT_TRUE(broken([](P& p) { p.spacing = 0x1p-40; }));  // beyond the sampler
  EXPECT_TRUE(broken([](P& p) { p.participation.min_separation = 7; }));  // fewer than bands
  EXPECT_TRUE(broken([](P& p) { p.participation.max_participations = 0; }));
}

}  // namespace
}  // namespace cloister::dp
