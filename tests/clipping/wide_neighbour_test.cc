// docs/design/0005-clipping.md's claim that a sum moves by exactly the vector of the unit that is
// added, where the arithmetic is hardest to keep apart: matrices so large that their gradients are
// built in fp32 piece by piece, a matrix that is both looked up and multiplied by, users whose
// gradients are gathered over several passes, bfloat16, and several threads.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>

#include "dp/clipping/clip_rule.h"
#include "dp/clipping/matrix_gradient.h"
#include "dp/mechanism/unnoised.h"
#include "tests/clipping/torch.h"
#include "tests/inference/synthetic_model.h"
#include "trainer/trainable_model.h"

namespace cloister::dp::clipping {
namespace {

using trainer::TrainableModel;
using trainer::UnitExamples;
using Points = std::vector<std::int64_t>;

constexpr std::uint64_t kSeed = 23;
constexpr double kClipNorm = 0x1p-7;  // clips every unit below

struct Training {
  std::string name;
  std::int64_t vocabulary = 2100;  // times hidden 64: above MatrixGradient::kWideElements
  bool tied = true;
  PrivacyUnit unit = PrivacyUnit::kRecord;
  trainer::Precision precision = trainer::Precision::kFp32;
  ClipRule::Style style = ClipRule::Style::kFlat;
};
static_assert(2100 * 64 > MatrixGradient::kWideElements);

model::Architecture ArchitectureOf(const Training& training) {
  model::Architecture architecture = inference::SmallArchitecture();
  architecture.vocab_size = training.vocabulary;
  architecture.tie_word_embeddings = training.tied;
  return architecture;
}

class WideNeighbours : public testing::TestWithParam<Training> {
 protected:
  void SetUp() override {
    std::printf("seed %d\n", static_cast<int>(kSeed));
    const inference::SyntheticModel files(ArchitectureOf(GetParam()), model::DataType::kF32, kSeed);
    model_ = TrainableModel::Load(files, std::nullopt, {.precision = GetParam().precision}).value();
    // A gradient of so many tokens is built for its norm, of fewer it is not (NormMethod).
    AddUnit({80, 6});
    AddUnit({9});
    AddUnit({14, 11, 3});
    AddUnit({25});
    AddUnit({5, 17});
  }
  void TearDown() override { trainer::SetThreads(1); }

  // With unit "record" the first example alone.
  void AddUnit(std::vector<std::int64_t> lengths) {
    if (GetParam().unit == PrivacyUnit::kRecord) lengths.resize(1);
    UnitExamples& unit = units_.emplace_back();
    for (const std::int64_t length : lengths) {
      trainer::Example& example = unit.emplace_back();
      for (std::int64_t t = 0; t < length; ++t) {
        // From few ids, so that rows of the embedding are looked up again and again.
        example.ids.push_back(static_cast<model::TokenId>(random_() % 40));
        example.answer.push_back(t >= length / 3 ? 1 : 0);
      }
    }
  }

  TrainableModel::ClipOptions Options() const {
    const auto layers =
        static_cast<std::size_t>(TrainableModel::SizeOf(model_->architecture(), {}).layers);
    ClipRule rule = {.style = GetParam().style, .clip_norms = {kClipNorm}};
    if (rule.style == ClipRule::Style::kAutomatic) rule.stability = 0.01;
    if (rule.style == ClipRule::Style::kPerGroup) {
      rule.clip_norms.assign(layers, kClipNorm / std::sqrt(static_cast<double>(layers)));
    }
    return {.rule = rule, .unit = GetParam().unit, .neighbours = Neighbours::kAddOrRemoveOne};
  }

  ClippedSum Clip(const std::vector<UnitExamples>& units, int threads,
                  const TrainableModel::ClipOptions& options) const {
    trainer::SetThreads(threads);
    auto clipped = model_->ClippedGradient(units, options, {});
    EXPECT_TRUE(clipped) << clipped.error().message;
    return std::move(clipped->sum);
  }

  std::vector<UnitExamples> Without(std::size_t left_out) const {
    std::vector<UnitExamples> others = units_;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(left_out));
    return others;
  }

  // That of each unit, whoever else is drawn and wherever it stands.
  void ExpectEachMovesTheSumByItsOwn(const TrainableModel::ClipOptions& options) const {
    const Points whole = Unnoised::Points(Clip(units_, 1, options)).All();
    for (std::size_t x = 0; x < units_.size(); ++x) {
      const Points own = Unnoised::Points(Clip({units_[x]}, 1, options)).All();
      Points without(whole.size());
      std::transform(whole.begin(), whole.end(), own.begin(), without.begin(), std::minus<>());
      const int threads = 1 + static_cast<int>(x) % 4;
      EXPECT_TRUE(Unnoised::Points(Clip(Without(x), threads, options)).All() == without)
          << "unit " << x << ", " << threads << " threads";
    }
    for (const int threads : {2, 3, 4}) {
      EXPECT_TRUE(Unnoised::Points(Clip(units_, threads, options)).All() == whole)
          << threads << " threads";
    }
  }

  std::mt19937_64 random_{kSeed};
  std::unique_ptr<TrainableModel> model_;
  std::vector<UnitExamples> units_;
};

double Norm(const ClippedSum& sum) { return at::linalg_vector_norm(Values(sum)).item<double>(); }

TEST_P(WideNeighbours, DifferByTheUnitsOwnVectorOnAnyNumberOfThreads) {
  ExpectEachMovesTheSumByItsOwn(Options());
}

TEST_P(WideNeighbours, NoVectorIsLongerThanStated) {
  for (const UnitExamples& unit : units_) {
    const ClippedSum own = Clip({unit}, 2, Options());
    EXPECT_LE(Norm(own), kClipNorm + own.excess());
    // Automatic clipping stays below by its stability.
    EXPECT_GT(Norm(own), 0.9 * kClipNorm);
  }
}

// Broken on purpose: a sum in floating point, however wide, forgets whom it was made of.
TEST_P(WideNeighbours, InFloatingPointTheyWouldNot) {
  const auto floats = [&](const std::vector<UnitExamples>& units) {
    at::Tensor sum = at::zeros({model_->parameters()}, at::TensorOptions(at::kFloat));
    for (const UnitExamples& unit : units) sum += Values(Clip({unit}, 1, Options())) / 3;
    return sum;
  };
  EXPECT_FALSE(at::equal(floats(units_) - floats(Without(0)), floats({units_[0]})));
}

INSTANTIATE_TEST_SUITE_P(
    Clipping, WideNeighbours,
    testing::Values(Training{.name = "tied"}, Training{.name = "untied", .tied = false},
                    Training{.name = "users", .unit = PrivacyUnit::kUser},
                    Training{.name = "bf16", .precision = trainer::Precision::kBf16},
                    Training{.name = "bf16_users",
                             .unit = PrivacyUnit::kUser,
                             .precision = trainer::Precision::kBf16},
                    Training{.name = "automatic", .style = ClipRule::Style::kAutomatic},
                    Training{.name = "per_layer",
                             .unit = PrivacyUnit::kUser,
                             .style = ClipRule::Style::kPerGroup}),
    [](const auto& info) { return info.param.name; });

// The count of units within an adaptive clip norm is one more number of the vector.
class WideNeighboursWithCount : public WideNeighbours {};

TEST_P(WideNeighboursWithCount, DifferByTheUnitsOwnVectorAndItsShareOfTheCount) {
  std::vector<double> norms;
  TrainableModel::ClipOptions options = Options();
  for (const UnitExamples& unit : units_) {
    options.rule.clip_norms = {1e4};
    norms.push_back(Norm(Clip({unit}, 1, options)));
  }
  std::sort(norms.begin(), norms.end());
  ASSERT_LT(norms.back(), 1e4);
  options.rule.clip_norms = {(norms[1] + norms[2]) / 2};
  options.count_weight = CountWeight(1.0, 1.0, 2.0);
  options.normalized = true;
  ExpectEachMovesTheSumByItsOwn(options);
  // Two of the five are within.
  const ClippedSum whole = Clip(units_, 4, options);
  EXPECT_NEAR(Unnoised::Values(whole).back(), -options.count_weight / 2, 5 * whole.spacing());
  for (const UnitExamples& unit : units_) {
    const ClippedSum own = Clip({unit}, 2, options);
    EXPECT_NEAR(std::abs(Unnoised::Values(own).back()), options.count_weight / 2, own.spacing());
    EXPECT_LE(Norm(own), std::hypot(1.0, options.count_weight / 2) + own.excess());
  }
}

INSTANTIATE_TEST_SUITE_P(Clipping, WideNeighboursWithCount,
                         testing::Values(Training{.name = "records"},
                                         Training{.name = "users", .unit = PrivacyUnit::kUser},
                                         Training{.name = "bf16",
                                                  .precision = trainer::Precision::kBf16}),
                         [](const auto& info) { return info.param.name; });

// So many parameters that the threads take turns at one buffer for users in several parts.
class NeighboursOfManyParameters : public WideNeighbours {};

TEST_P(NeighboursOfManyParameters, DifferByTheUnitsOwnVector) {
  ASSERT_GT(model_->parameters(), std::int64_t{1} << 23);
  const Points whole = Unnoised::Points(Clip(units_, 4, Options())).All();
  Points parts = Unnoised::Points(Clip(Without(2), 3, Options())).All();
  const Points own = Unnoised::Points(Clip({units_[2]}, 2, Options())).All();
  std::transform(parts.begin(), parts.end(), own.begin(), parts.begin(), std::plus<>());
  EXPECT_TRUE(parts == whole);
}

INSTANTIATE_TEST_SUITE_P(Clipping, NeighboursOfManyParameters,
                         testing::Values(Training{
                             .name = "users", .vocabulary = 131'100, .unit = PrivacyUnit::kUser}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace cloister::dp::clipping
