#include "dp/matrix_factorization/matrix_mechanism.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dp/accounting/rdp_accountant.h"
#include "dp/matrix_factorization/factorization.h"
#include "dp/matrix_factorization/sealed_noise.h"
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
  // So is one that the ledger does not record.
  ledger.failing_steps = true;
  persisted = 2;
  EXPECT_FALSE(mechanism.Release(Sum(), ledger, "set", kKey, count));
  EXPECT_EQ(persisted, 3);
  EXPECT_EQ(mechanism.step(), 3);
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
  // Half the noise on a lattice half as coarse needs the same numbers, and is another plan.
  MatrixMechanism::Parameters weaker = Good();
  weaker.noise_multiplier /= 2;
  weaker.spacing /= 2;
  const auto other = MatrixMechanism::Restore(weaker, Matrix(), StreamOfSeed(96), states, 12);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, base::Code::kDataLoss);
  auto resumed = MatrixMechanism::Restore(Good(), Matrix(), StreamOfSeed(96), states, 12);
  ASSERT_TRUE(resumed) << resumed.error().message;
  EXPECT_EQ(resumed->step(), 12);
  for (std::int64_t t = 12; t < kSteps; ++t) {
    ASSERT_TRUE(resumed->Release(Sum(), ledger, "set", kKey, Kept)) << t;
  }
  EXPECT_EQ(ledger.spends.size(), 1u);
}

// Two copies of one state, as two processes that resume the same checkpoint have them: under the
// same earlier rows only one of them may release a step. The ledger is a real one.
class MatrixMechanismResume : public testing::Test {
 protected:
  MatrixMechanismResume() {
    std::string name = (std::filesystem::temp_directory_path() / "cloister-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    ledger_ = Ledger::Open(folder_ / "ledger").value();
    const std::vector<std::string> units = {"a", "b"};
    data_set_ =
        ledger_
            ->RegisterDataSet("set", units, PrivacyUnit::kRecord, Neighbours::kZeroOut, {8, 1e-5})
            .value();
  }
  ~MatrixMechanismResume() override {
    ledger_.reset();
    std::filesystem::remove_all(folder_);
  }

  base::Code Release(MatrixMechanism& mechanism, Ledger& ledger) {
    const auto noised =
        mechanism.Release(Sum(), ledger, data_set_, kKey, [&](const CorrelatedNoise& noise) {
          states_.push_back(noise.Serialize());
          return base::Status();
        });
    return noised ? base::Code::kOk : noised.error().code;
  }
  MatrixMechanism Resumed(std::size_t state) {
    const std::vector<Bytes> states = {states_[state].bytes()};
    return MatrixMechanism::Restore(Good(), Matrix(), StreamOfSeed(98), states, 0).value();
  }

  std::filesystem::path folder_;
  std::unique_ptr<Ledger> ledger_;
  std::string data_set_;
  std::vector<security::SecretBytes> states_;
};

TEST_F(MatrixMechanismResume, AReleasedStepIsRefusedASecondTime) {
  MatrixMechanism mechanism = Make();
  for (int t = 0; t < 6; ++t) ASSERT_EQ(Release(mechanism, *ledger_), base::Code::kOk);
  EXPECT_EQ(*ledger_->LastStep(kKey.job), 6);
  EXPECT_EQ(ledger_->Rows()->size(), 1U);

  // From before the last step, though whoever restores it claims to know of no release.
  MatrixMechanism behind = Resumed(3);
  EXPECT_EQ(behind.step(), 4);
  EXPECT_EQ(Release(behind, *ledger_), base::Code::kAlreadyExists);
  EXPECT_EQ(Release(behind, *ledger_), base::Code::kAlreadyExists);

  // From the last one, twice at once.
  MatrixMechanism one = Resumed(5);
  MatrixMechanism two = Resumed(5);
  EXPECT_EQ(Release(one, *ledger_), base::Code::kOk);
  EXPECT_EQ(Release(two, *ledger_), base::Code::kAlreadyExists);
  // And from the very beginning: the plan is paid for once.
  MatrixMechanism anew = Make(99);
  EXPECT_EQ(Release(anew, *ledger_), base::Code::kAlreadyExists);

  // The broken variant: a ledger that forgets its steps lets all of it pass.
  FakeLedger forgetful;
  forgetful.spends.push_back({});
  data_set_ = "set";
  MatrixMechanism again = Resumed(3);
  EXPECT_EQ(Release(again, forgetful), base::Code::kOk);
  forgetful.last_step = 0;
  MatrixMechanism twice = Resumed(3);
  EXPECT_EQ(Release(twice, forgetful), base::Code::kOk);
}

// A crash after the debit and before the first row: one copy goes on, without another debit, and
// only under the plan that was paid for.
TEST_F(MatrixMechanismResume, ADebitWithoutAStepIsUsedOnce) {
  const MatrixMechanism fresh = Make();
  states_.push_back(fresh.noise().Serialize());
  ASSERT_TRUE(ledger_->Debit(data_set_, {kKey, fresh.event(), std::nullopt}));
  MatrixMechanism one = Resumed(0), two = Resumed(0);
  EXPECT_EQ(Release(one, *ledger_), base::Code::kOk);
  EXPECT_EQ(Release(two, *ledger_), base::Code::kAlreadyExists);
  EXPECT_EQ(ledger_->Rows()->size(), 1U);

  const SpendKey other = {"other", 0, 0};
  Event cheaper = fresh.event();
  cheaper.noise_multiplier *= 2;
  ASSERT_TRUE(ledger_->Debit(data_set_, {other, cheaper, std::nullopt}));
  MatrixMechanism three = Resumed(0);
  const auto refused = three.Release(Sum(), *ledger_, data_set_, other, Kept);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kAlreadyExists);
  EXPECT_EQ(*ledger_->LastStep("other"), 0);
}

// A crash between the two: the state is ahead of the ledger, and the run goes on behind it.
TEST_F(MatrixMechanismResume, AStateAheadOfTheLedgerGoesOn) {
  MatrixMechanism mechanism = Make();
  ASSERT_EQ(Release(mechanism, *ledger_), base::Code::kOk);
  FakeLedger dies;
  dies.spends.push_back({});
  dies.failing_steps = true;
  const std::string set = std::exchange(data_set_, "set");
  EXPECT_EQ(Release(mechanism, dies), base::Code::kUnavailable);
  data_set_ = set;
  const std::vector<Bytes> states = {states_.back().bytes()};
  auto resumed = MatrixMechanism::Restore(Good(), Matrix(), StreamOfSeed(98), states,
                                          *ledger_->LastStep(kKey.job));
  ASSERT_TRUE(resumed) << resumed.error().message;
  EXPECT_EQ(resumed->step(), 2);
  EXPECT_EQ(Release(*resumed, *ledger_), base::Code::kOk);
  EXPECT_EQ(*ledger_->LastStep(kKey.job), 3);
}

// Two copies that drew the same step, of which the ledger took one: the other's state ends where
// the ledger does, and says so to whoever restores it, but its rows are not those of what was
// released.
TEST_F(MatrixMechanismResume, TheCopyThatLostIsRefusedAtLaterStepsToo) {
  MatrixMechanism mechanism = Make();
  for (int t = 0; t < 4; ++t) ASSERT_EQ(Release(mechanism, *ledger_), base::Code::kOk);
  MatrixMechanism one = Resumed(3);
  MatrixMechanism two = Resumed(3);
  ASSERT_EQ(Release(one, *ledger_), base::Code::kOk);             // step 5, state 4
  ASSERT_EQ(Release(two, *ledger_), base::Code::kAlreadyExists);  // step 5, state 5
  EXPECT_EQ(Release(two, *ledger_), base::Code::kAlreadyExists);  // step 6, state 6
  MatrixMechanism lost = Resumed(5);
  EXPECT_EQ(lost.step(), *ledger_->LastStep(kKey.job));
  EXPECT_EQ(Release(lost, *ledger_), base::Code::kAlreadyExists);
  MatrixMechanism ahead = Resumed(6);
  EXPECT_EQ(Release(ahead, *ledger_), base::Code::kAlreadyExists);
  MatrixMechanism kept = Resumed(4);
  EXPECT_EQ(Release(kept, *ledger_), base::Code::kOk);
  EXPECT_EQ(*ledger_->LastStep(kKey.job), 6);
}

TEST_F(MatrixMechanismResume, SealedStatesOpenForTheirOwnRunAndStepAlone) {
  MatrixMechanism mechanism = Make();
  for (int t = 0; t < 3; ++t) ASSERT_EQ(Release(mechanism, *ledger_), base::Code::kOk);
  const security::SecretBytes key = security::RandomSecret(32);
  const NoiseStateContext context = {kKey.job, 3};
  const std::vector<std::uint8_t> sealed = SealNoiseState(states_[2], context, key);
  const auto opened = OpenNoiseState(sealed, context, key);
  ASSERT_TRUE(opened) << opened.error().message;
  const std::vector<Bytes> states = {opened->bytes()};
  EXPECT_EQ(MatrixMechanism::Restore(Good(), Matrix(), StreamOfSeed(98), states, 3)->step(), 3);

  // No row can be read in it, and sealing twice shares no key stream.
  const Bytes plain = states_[2].bytes();
  const auto holds = [&](const std::vector<std::uint8_t>& bytes) {
    return std::search(bytes.begin(), bytes.end(), plain.begin() + 104, plain.begin() + 120) !=
           bytes.end();
  };
  EXPECT_FALSE(holds(sealed));
  EXPECT_TRUE(holds({plain.begin(), plain.end()}));
  EXPECT_NE(SealNoiseState(states_[2], context, key), sealed);

  const auto lost = [&](std::vector<std::uint8_t> bytes, const NoiseStateContext& of,
                        const security::SecretBytes& by) {
    const auto state = OpenNoiseState(bytes, of, by);
    return !state && state.error().code == base::Code::kDataLoss;
  };
  EXPECT_FALSE(lost(sealed, context, key));
  EXPECT_TRUE(lost(sealed, {kKey.job, 2}, key));
  EXPECT_TRUE(lost(sealed, {"another", 3}, key));
  EXPECT_TRUE(lost(sealed, context, security::RandomSecret(32)));
  for (const std::size_t at : {std::size_t{0}, std::size_t{40}, sealed.size() - 1}) {
    std::vector<std::uint8_t> altered = sealed;
    altered[at] ^= 1;
    EXPECT_TRUE(lost(altered, context, key)) << at;
  }
  for (const std::size_t size : {std::size_t{0}, std::size_t{32}, sealed.size() - 1}) {
    EXPECT_TRUE(
        lost({sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(size)}, context, key))
        << size;
  }
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
