// What a run with matrix factorization draws, spends and releases, without a model: the sums are
// the clipping engine's, of no unit at all, so that what is released is the noise.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "dp/accounting/rdp_accountant.h"
#include "dp/clipping/book_keeping.h"
#include "dp/matrix_factorization/factorization.h"
#include "tests/base/own_path.h"
#include "trainer/data/record_file.h"
#include "trainer/run/matrix_plan.h"
#include "trainer/run/private_side.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr std::int64_t kParameters = 4000;
constexpr std::int64_t kLayers = 2;

class MatrixRun : public InOwnFolder {
 protected:
  void SetUp() override {
    InOwnFolder::SetUp();
    // Ten units in batches of four: twelve steps take each five times at most, two steps apart.
    recipe_.data.train = folder_ / "train.jsonl";
    recipe_.training = {.steps = 12, .batch_size = 4, .seed = 3};
    recipe_.optimizer.beta1 = 0;
    recipe_.privacy = {
        .target_epsilon = 2,
        .delta = 1e-6,
        .clip_norm = 0.25,
        .matrix =
            Recipe::MatrixFactorization{.bands = 2, .min_separation = 2, .max_participations = 5},
        .unit = dp::PrivacyUnit::kRecord,
        .neighbours = dp::Neighbours::kZeroOut,
        .nominal_units = 10,
        .ledger = folder_ / "ledger",
        .budget_epsilon = 5,
        .budget_delta = 1e-5};
    WriteLines(10);
  }

  void WriteLines(int count) const {
    std::ofstream file(recipe_.data.train);
    for (int i = 0; i < count; ++i) {
      file << R"({"messages": [{"role": "user", "content": ")" << i << "\"}]}\n";
    }
  }

  PrivacyPlan Plan() const { return MakeMatrixPlan(recipe_, kParameters, kLayers).value(); }
  base::Result<PrivateSide> Open(const PrivacyPlan& plan) const {
    return PrivateSide::Open(recipe_, plan, RecordFile::Open(recipe_.data.train, {}).value(), none_,
                             *alone_);
  }
  mutable RunCheckpoints none_;
  const std::unique_ptr<Ranks> alone_ = OneRank();
  dp::ClippedSum NoUnits(const PrivateSide& side) const {
    const TrainableModel::ClipOptions clipping = side.clipping();
    auto engine = dp::clipping::BookKeeping::Create({{.rows = kParameters}},
                                                    {.rule = clipping.rule,
                                                     .unit = clipping.unit,
                                                     .neighbours = clipping.neighbours,
                                                     .spacing = clipping.spacing});
    return std::move(engine).value().Finish();
  }
  // Of every step, in units of the clip norm.
  std::vector<std::vector<double>> ReleaseAll(PrivateSide& side) const {
    std::vector<std::vector<double>> releases;
    for (std::int64_t step = 1; step <= recipe_.training.steps; ++step) {
      const auto released = side.Release(NoUnits(side), step);
      EXPECT_TRUE(released) << released.error().message;
      std::vector<double> values(static_cast<std::size_t>(released->gradient->parameters()));
      released->gradient->ReadSum(values);
      for (double& value : values) value /= recipe_.privacy->clip_norm;
      releases.push_back(std::move(values));
    }
    return releases;
  }

  Recipe recipe_;
};

// The root mean square of each row of C times the releases: what the privacy argument has as white
// noise z.
std::vector<double> WhitenedDeviations(const dp::BandedMatrix& encoder,
                                       const std::vector<std::vector<double>>& releases) {
  std::vector<double> deviations;
  for (std::size_t t = 0; t < releases.size(); ++t) {
    double squares = 0;
    for (std::size_t i = 0; i < releases[t].size(); ++i) {
      double row = 0;
      for (std::int64_t below = 0; below < encoder.bands(); ++below) {
        const auto j = static_cast<std::int64_t>(t) - below;
        if (j < 0) break;
        row += encoder.entry(j, below) / double{dp::BandedMatrix::kOne} *
               releases[static_cast<std::size_t>(j)][i];
      }
      squares += row * row;
    }
    deviations.push_back(std::sqrt(squares / static_cast<double>(releases[t].size())));
  }
  return deviations;
}

bool AllNear(const std::vector<double>& values, double expected) {
  // Five standard errors of a deviation over kParameters values.
  const double tolerance = 5 * expected / std::sqrt(2.0 * kParameters);
  return std::all_of(values.begin(), values.end(),
                     [&](double value) { return std::abs(value - expected) < tolerance; });
}

TEST_F(MatrixRun, SpendsWhatItsNoiseIsWorthBeforeTheFirstRelease) {
  const PrivacyPlan plan = Plan();
  EXPECT_LE(plan.epsilon, 2);
  EXPECT_GT(plan.epsilon, 1.99);
  EXPECT_EQ(plan.Spend(1), plan.Spend(12));
  auto side = Open(plan);
  ASSERT_TRUE(side) << side.error().message;
  EXPECT_EQ(side->Epsilon().value(), 0);
  EXPECT_TRUE(dp::Ledger::OpenReadOnly(folder_ / "ledger").value()->Rows()->empty());
  ASSERT_TRUE(side->Release(NoUnits(*side), 1));
  EXPECT_EQ(side->Epsilon().value(), plan.epsilon);
  ASSERT_TRUE(side->Release(NoUnits(*side), 2));
  EXPECT_EQ(side->Epsilon().value(), plan.epsilon);
  const auto rows = dp::Ledger::OpenReadOnly(folder_ / "ledger").value()->Rows().value();
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].spend.event, plan.Spend(12));
  EXPECT_EQ(rows[0].spend.event.neighbours, dp::Neighbours::kZeroOut);
}

// C times what was released is white, of the deviation that the spend claims: its multiplier times
// the sensitivity of five participations, whose columns have norm 1.
TEST_F(MatrixRun, ReleasesTheNoiseThatItsSpendClaims) {
  const PrivacyPlan plan = Plan();
  auto side = Open(plan);
  ASSERT_TRUE(side) << side.error().message;
  const auto releases = ReleaseAll(*side);
  EXPECT_LE(plan.step.noise_multiplier, plan.noise_multiplier);
  EXPECT_GT(plan.step.noise_multiplier, 0.98 * plan.noise_multiplier);
  const double claimed = plan.noise_multiplier * std::sqrt(5.0);
  const dp::BandedMatrix& encoder = plan.matrix->encoder;
  EXPECT_TRUE(AllNear(WhitenedDeviations(encoder, releases), claimed));

  // The broken variants: noise for one participation alone, that of plain DP-SGD at each step (what
  // bands of another encoder would leave), and the same at every step.
  auto weak = releases;
  for (auto& release : weak) {
    for (double& value : release) value /= std::sqrt(5.0);
  }
  EXPECT_FALSE(AllNear(WhitenedDeviations(encoder, weak), claimed));
  const auto one_band = dp::OptimizeToeplitz({12, 0}, 1).value();
  EXPECT_FALSE(AllNear(WhitenedDeviations(one_band, releases), claimed));
  const std::vector<std::vector<double>> same(releases.size(), releases[0]);
  EXPECT_FALSE(AllNear(WhitenedDeviations(encoder, same), claimed));
  // It cancels in the model: prefix sums are nearer to nothing than those of fresh noise.
  std::vector<double> sum(kParameters);
  double correlated = 0;
  double fresh = 0;
  for (std::size_t t = 0; t < releases.size(); ++t) {
    for (std::size_t i = 0; i < sum.size(); ++i) {
      sum[i] += releases[t][i];
      correlated += sum[i] * sum[i];
    }
    fresh += static_cast<double>(t + 1) * claimed * claimed * static_cast<double>(sum.size());
  }
  EXPECT_LT(correlated, 0.7 * fresh);
}

TEST_F(MatrixRun, EachStepTakesTheNextBatchAndEmptySlotsTakeNone) {
  WriteLines(7);  // of ten slots
  auto side = Open(Plan());
  ASSERT_TRUE(side) << side.error().message;
  const auto order = FixedOrderBatches::Create({10, 4, 12}, {5, 2}, 3);
  std::int64_t taken = 0;
  for (std::int64_t step = 0; step < 12; ++step) {
    std::vector<std::int64_t> expected;
    for (const std::int64_t slot : order->Batch(step)) {
      if (slot < 7) expected.push_back(slot);
    }
    std::vector<std::int64_t> drawn;
    for (const std::span<const std::int64_t> records : side->Draw()) {
      ASSERT_EQ(records.size(), 1U);
      drawn.push_back(records[0]);
    }
    EXPECT_EQ(drawn, expected);
    taken += static_cast<std::int64_t>(drawn.size());
    ASSERT_TRUE(side->Release(NoUnits(*side), step + 1));
  }
  EXPECT_LT(taken, 48);
  EXPECT_FALSE(side->Release(NoUnits(*side), 13));
}

// How many units there are decides nothing: more than slots share them, and each takes part as its
// slot does, which is what the noise is accounted for.
TEST_F(MatrixRun, MoreUnitsThanSlotsShareThem) {
  WriteLines(23);
  const PrivacyPlan plan = Plan();
  auto side = Open(plan);
  ASSERT_TRUE(side) << side.error().message;
  std::vector<std::vector<std::int64_t>> steps_of(23);
  for (std::int64_t step = 0; step < 12; ++step) {
    for (const std::span<const std::int64_t> records : side->Draw()) {
      steps_of[static_cast<std::size_t>(records[0])].push_back(step);
    }
    ASSERT_TRUE(side->Release(NoUnits(*side), step + 1));
  }
  const dp::Participation& allowed = plan.matrix->participation;
  for (std::size_t unit = 0; unit < steps_of.size(); ++unit) {
    const std::vector<std::int64_t>& steps = steps_of[unit];
    EXPECT_EQ(steps, steps_of[unit % 10]);
    EXPECT_GE(steps.size(), 4U);
    EXPECT_LE(steps.size(), static_cast<std::size_t>(allowed.max_participations));
    for (std::size_t i = 1; i < steps.size(); ++i) {
      EXPECT_GE(steps[i] - steps[i - 1], allowed.min_separation);
    }
  }
}

TEST_F(MatrixRun, RefusesWhatTheLoaderWouldNotKeep) {
  const PrivacyPlan plan = Plan();
  // A plan whose participation is not the loader's, whoever made it.
  for (const dp::Participation narrow : {dp::Participation{4, 2}, dp::Participation{5, 3}}) {
    PrivacyPlan other = plan;
    other.matrix->participation = narrow;
    EXPECT_FALSE(Open(other));
  }
  EXPECT_FALSE(fs::exists(folder_ / "ledger"));
  EXPECT_TRUE(Open(plan));
}

TEST_F(MatrixRun, NoiseIsFoundForTheTargetOrHeldToIt) {
  const PrivacyPlan found = Plan();
  // ε of one Gaussian, whatever the number of steps and participations.
  for (const std::int64_t steps : {24, 120}) {
    recipe_.training.steps = steps;
    recipe_.privacy->matrix->max_participations = steps * 4 / 10 + 1;
    // But for what the lattice takes, which grows with the noise that is added.
    EXPECT_NEAR(Plan().noise_multiplier, found.noise_multiplier, 1e-3);
  }
  const PrivacyPlan last = Plan();
  recipe_.privacy->noise_multiplier = last.noise_multiplier;
  EXPECT_EQ(Plan().epsilon, last.epsilon);
  recipe_.privacy->noise_multiplier = 0.9 * last.noise_multiplier;
  const auto passed = MakeMatrixPlan(recipe_, kParameters, kLayers);
  ASSERT_FALSE(passed);
  EXPECT_EQ(passed.error().code, base::Code::kInvalidArgument);
  EXPECT_THAT(passed.error().message, HasSubstr("give at least"));
  recipe_.privacy->target_epsilon.reset();
  EXPECT_GT(Plan().epsilon, 2);
  // A lattice too coarse for so much noise on so many parameters is said in the recipe's words.
  recipe_.privacy->noise_multiplier = 1e4;
  const auto coarse = MakeMatrixPlan(recipe_, kParameters, kLayers);
  ASSERT_FALSE(coarse);
  EXPECT_THAT(coarse.error().message, HasSubstr("privacy.max_participations"));
}

TEST_F(MatrixRun, ABudgetThatIsUsedUpRefusesTheWholeRun) {
  recipe_.privacy->target_epsilon = 4;
  const PrivacyPlan plan = Plan();
  auto first = Open(plan);
  ASSERT_TRUE(first) << first.error().message;
  ASSERT_TRUE(first->Release(NoUnits(*first), 1));
  const auto second = Open(plan);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, base::Code::kResourceExhausted);
  EXPECT_TRUE(first->Release(NoUnits(*first), 2));  // paid for
}

}  // namespace
}  // namespace cloister::trainer
