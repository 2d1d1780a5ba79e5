// What a private run releases, seen from within the run that users start: fresh noise of the
// claimed size on a clipped sum, of units drawn at the claimed rate, debited before.
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "dp/clipping/book_keeping.h"
#include "tests/trainer/tiny_run.h"
#include "trainer/run/matrix_plan.h"
#include "trainer/run/private_side.h"
#include "trainer/run/run_data.h"

namespace cloister::trainer {
namespace {

// Keeps each release, and how much was debited when it came.
class Releases : public RunProbe {
 public:
  explicit Releases(std::filesystem::path ledger) : ledger_(std::move(ledger)) {}

  base::Status Start(const PrivacyPlan& plan, std::int64_t) override {
    deviation = plan.mechanism.noise_multiplier * plan.mechanism.clip_norm;
    return {};
  }
  std::span<const dp::audit::Canary> units() const override { return {}; }
  void Released(std::span<const double> sum) override {
    sums.emplace_back(sum.begin(), sum.end());
    debited.push_back(dp::Ledger::OpenReadOnly(ledger_).value()->Rows()->size());
  }

  double deviation = 0;
  std::vector<std::vector<double>> sums;
  std::vector<std::size_t> debited;

 private:
  std::filesystem::path ledger_;
};

double Product(const std::vector<double>& a, const std::vector<double>& b) {
  double product = 0;
  for (std::size_t i = 0; i < a.size(); ++i) product += a[i] * b[i];
  return product;
}
double Norm(const std::vector<double>& a) { return std::sqrt(Product(a, a)); }

class PrivateRunTest : public TinyRun {
 protected:
  void SetUp() override {
    TinyRun::SetUp();
    MakePrivate();
    recipe_.training.threads = 2;
    recipe_.lora->targets = {"q_proj", "k_proj", "v_proj", "o_proj"};
  }

  // The releases of a run until a step, from the start or from the checkpoints.
  Releases Observe(std::int64_t until, bool resume = false) {
    Releases seen(recipe_.privacy->ledger);
    const base::Status ran = Run(until, resume, &seen);
    EXPECT_TRUE(ran || ran.error().code == base::Code::kCancelled) << ran.error().message;
    return seen;
  }
  void Forget() const {
    for (const char* left : {"out", "checkpoints"}) std::filesystem::remove_all(folder_ / left);
  }
};

// Noise that is so loud that nothing else shows, hence of ε 0 or nearly: the run is sound all the
// same. Six deviations of a product of independent rows.
TEST_F(PrivateRunTest, NoiseIsOfTheClaimedSizeAndFreshInEveryStepRunAndResumption) {
  recipe_.privacy->noise_multiplier = 500;
  recipe_.privacy->delta = 0.02;
  recipe_.privacy->budget_delta = 0.02;
  for (const bool adaptive : {false, true}) {
    if (adaptive) {
      recipe_.privacy->adaptive = {.quantile = 0.5, .rate = 0.2, .count_noise_multiplier = 500};
    }
    std::vector<std::vector<double>> rows;
    double deviation = 0;
    const auto add = [&](const Releases& seen) {
      deviation = seen.deviation;
      EXPECT_GT(seen.sums.size(), 0U);
      rows.insert(rows.end(), seen.sums.begin(), seen.sums.end());
    };
    add(Observe(3));
    std::filesystem::copy(folder_ / "checkpoints", folder_ / "older",
                          std::filesystem::copy_options::recursive);
    std::filesystem::copy_file(recipe_.privacy->ledger, folder_ / "saved");
    add(Observe(2, true));
    Forget();
    // The same checkpoint and ledger once more.
    std::filesystem::rename(folder_ / "older", folder_ / "checkpoints");
    std::filesystem::copy_file(folder_ / "saved", recipe_.privacy->ledger,
                               std::filesystem::copy_options::overwrite_existing);
    add(Observe(2, true));
    Forget();
    add(Observe(3));
    Forget();
    std::filesystem::remove(folder_ / "saved");
    ASSERT_GE(rows.size(), 8U);
    const double size = static_cast<double>(rows[0].size());
    ASSERT_GT(size, 500);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EXPECT_NEAR(Norm(rows[i]) / (deviation * std::sqrt(size)), 1, 6 / std::sqrt(2 * size)) << i;
      for (std::size_t k = 0; k < i; ++k) {
        const double cosine = Product(rows[i], rows[k]) / (Norm(rows[i]) * Norm(rows[k]));
        EXPECT_LT(std::abs(cosine), 6 / std::sqrt(size)) << i << " and " << k;
      }
    }
  }
}

TEST_F(PrivateRunTest, CorrelatedNoiseIsFreshInEveryRun) {
  MakeMatrix();
  recipe_.privacy->noise_multiplier = 500;
  const Releases one = Observe(3);
  Forget();
  const Releases other = Observe(3);
  ASSERT_GE(one.sums.size(), 3U);
  ASSERT_GE(other.sums.size(), 3U);
  const double size = static_cast<double>(one.sums[0].size());
  for (const auto& a : one.sums) {
    for (const auto& b : other.sums) {
      EXPECT_LT(std::abs(Product(a, b)) / (Norm(a) * Norm(b)), 8 / std::sqrt(size));
    }
  }
}

TEST_F(PrivateRunTest, EveryReleaseIsDebitedBeforeAndOfAClippedSum) {
  // A clip norm far below what gradients have.
  recipe_.privacy->noise_multiplier = 1;
  recipe_.privacy->clip_norm = 1e-4;
  const Releases seen = Observe(kSteps);
  ASSERT_EQ(seen.sums.size(), static_cast<std::size_t>(kSteps));
  double largest = 0;
  for (std::size_t i = 0; i < seen.sums.size(); ++i) {
    EXPECT_EQ(seen.debited[i], i + 1);
    largest = std::max(largest, Norm(seen.sums[i]) / recipe_.privacy->clip_norm);
  }
  const double noise = std::sqrt(static_cast<double>(seen.sums[0].size()));
  EXPECT_LT(largest, 20 + 2 * noise);  // of twenty records
}

// The private side of a run of 100 parameters, as it begins or goes on.
class OpenedSide {
 public:
  explicit OpenedSide(const Recipe& recipe, const std::optional<std::filesystem::path>& resume = {})
      : files_(model::ModelFiles::Open(recipe.model).value()),
        data_(RunData::Open(recipe, *files_).value()),
        checkpoints_(RunCheckpoints::Begin(recipe, resume).value()),
        plan_(MakePrivacyPlan(*recipe.privacy, recipe.training.steps, kParameters, 2).value()),
        side_(PrivateSide::Open(recipe, plan_, data_.train.file(), checkpoints_, *alone_).value()) {
  }

  PrivateSide& side() { return side_; }
  // The release of a sum of no units.
  NoisedGradient Release(std::int64_t step) {
    const dp::GaussianMechanism::Parameters& mechanism = plan_.mechanism;
    auto sum = dp::clipping::BookKeeping::Create({{.rows = kParameters}},
                                                 {.rule = {.clip_norms = {mechanism.clip_norm}},
                                                  .neighbours = mechanism.neighbours,
                                                  .spacing = mechanism.spacing})
                   .value()
                   .Finish();
    return *std::move(side_.Release(std::move(sum), step).value().gradient);
  }

  static constexpr std::int64_t kParameters = 100;

 private:
  std::shared_ptr<const model::ModelFiles> files_;
  RunData data_;
  RunCheckpoints checkpoints_;
  PrivacyPlan plan_;
  std::unique_ptr<Ranks> alone_ = OneRank();
  PrivateSide side_;
};

TEST_F(PrivateRunTest, DrawsEachUnitAtTheRecipesRate) {
  constexpr int kDraws = 2000;
  OpenedSide opened(recipe_);
  PrivateSide& side = opened.side();
  std::map<std::int64_t, int> drawn, asked;
  const std::vector<std::int64_t> places = {4, 7};
  for (int i = 0; i < kDraws; ++i) {
    for (const auto& records : side.Draw()) ++drawn[records.front()];
    for (const std::int64_t place : side.DrawOf(places)) ++asked[place];
  }
  ASSERT_EQ(drawn.size(), 20U);
  ASSERT_EQ(asked.size(), 2U);
  const double rate = recipe_.privacy->sampling_rate;
  const double deviation = std::sqrt(kDraws * rate * (1 - rate));
  for (const auto& counts : {drawn, asked}) {
    for (const auto& [unit, count] : counts) EXPECT_NEAR(count, kDraws * rate, 6 * deviation);
  }
}

// Who is drawn is a secret: nobody may know the stream, and a run that goes on may not replay it.
TEST_F(PrivateRunTest, DrawsAreFreshInEveryRunAndResumption) {
  Observe(3);
  const auto draws = [&](bool resume) {
    Recipe recipe = recipe_;
    if (!resume) recipe.checkpoints.reset();
    OpenedSide opened(recipe, resume ? std::optional(folder_ / "checkpoints") : std::nullopt);
    std::vector<std::vector<std::vector<std::int64_t>>> drawn;
    for (int i = 0; i < 40; ++i) drawn.push_back(opened.side().Draw());
    return drawn;
  };
  std::set<std::vector<std::vector<std::vector<std::int64_t>>>> seen;
  for (const bool resume : {false, false, true, true}) {
    EXPECT_TRUE(seen.insert(draws(resume)).second) << resume;
  }
}

// A gradient over the true number of units would tell it.
TEST_F(PrivateRunTest, DividesByThePublicNumberOfUnits) {
  recipe_.checkpoints.reset();
  const Recipe::Privacy& privacy = *recipe_.privacy;
  const double batch = privacy.sampling_rate * static_cast<double>(privacy.nominal_units);
  for (const int count : {20, 11, 33}) {
    WriteRecords("train.jsonl", count);
    std::filesystem::remove(privacy.ledger);
    std::filesystem::remove(privacy.ledger.string() + ".key");
    OpenedSide opened(recipe_);
    const NoisedGradient gradient = opened.Release(1);
    EXPECT_DOUBLE_EQ(gradient.noise_variance(),
                     std::pow(*privacy.noise_multiplier * privacy.clip_norm / batch, 2));
    std::vector<double> sum(OpenedSide::kParameters);
    gradient.ReadSum(sum);
    std::vector<float> values(sum.size());
    gradient.Read(0, values);
    for (std::size_t i = 0; i < sum.size(); ++i) EXPECT_FLOAT_EQ(values[i], sum[i] / batch);
  }
}

}  // namespace
}  // namespace cloister::trainer
