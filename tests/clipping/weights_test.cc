// The clipping engine on every kind of layer: all weights of every fixture's network are trained.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <filesystem>

#include "dp/clipping/unit_clipper.h"
#include "dp/mechanism/unnoised.h"
#include "tests/clipping/torch.h"
#include "tests/clipping/whole_network.h"
#include "tests/model/fixture_folders.h"

namespace cloister::dp::clipping {
namespace {

double Norm(const at::Tensor& x) { return at::linalg_vector_norm(x).item<double>(); }
double RelativeError(const at::Tensor& a, const at::Tensor& b) { return Norm(a - b) / Norm(b); }

class EveryFixture : public testing::TestWithParam<std::filesystem::path> {
 protected:
  static BookKeeping Engine(const WholeNetwork& network, ClipRule rule, NormMethod method,
                            PrivacyUnit unit = PrivacyUnit::kRecord, double count_weight = 0) {
    std::vector<ParameterShape> shapes = network.numbers().shapes();
    if (rule.style == ClipRule::Style::kPerGroup) {
      for (std::size_t i = 0; i < shapes.size(); ++i) {
        shapes[i].group = static_cast<std::int64_t>(i % rule.clip_norms.size());
      }
    }
    return BookKeeping::Create(std::move(shapes), {.rule = std::move(rule),
                                                   .unit = unit,
                                                   .neighbours = Neighbours::kAddOrRemoveOne,
                                                   .method = method,
                                                   .count_weight = count_weight})
        .value();
  }
  // The middle of the examples' norms: some pass it and some do not.
  static double MiddleNorm(const WholeNetwork& network) {
    std::vector<double> norms;
    for (std::size_t i = 0; i < network.examples(); ++i) norms.push_back(network.golden_norm(i));
    std::sort(norms.begin(), norms.end());
    return (norms[(norms.size() - 1) / 2] + norms[norms.size() / 2]) / 2;
  }
};

TEST_P(EveryFixture, NormsAreTheOtherImplementations) {
  const WholeNetwork network(GetParam());
  for (const NormMethod method :
       {NormMethod::kCheapest, NormMethod::kInstantiate, NormMethod::kGram}) {
    BookKeeping engine = Engine(network, {.clip_norms = {1.0}}, method);
    UnitClipper unit(engine);
    for (std::size_t i = 0; i < network.examples(); ++i) {
      network.Run(i, unit);
      const auto norm = unit.EndUnit();
      ASSERT_TRUE(norm);
      const double expected = network.golden_norm(i);
      EXPECT_NEAR(norm->computed, expected, 1e-5 * expected);
      EXPECT_GE(norm->bound, norm->computed);
      EXPECT_LE(norm->bound, 1.02 * norm->computed);
    }
  }
}

TEST_P(EveryFixture, ClippedSumEqualsTheNaiveLoops) {
  const WholeNetwork network(GetParam());
  const double clip_norm = MiddleNorm(network);
  at::Tensor naive = at::zeros({network.numbers().parameters()}, at::TensorOptions(at::kDouble));
  for (std::size_t i = 0; i < network.examples(); ++i) {
    const at::Tensor gradient = network.Gradient(i);
    naive += gradient * std::min(1.0, clip_norm / Norm(gradient));
  }
  for (const NormMethod method : {NormMethod::kInstantiate, NormMethod::kGram}) {
    BookKeeping engine = Engine(network, {.clip_norms = {clip_norm}}, method);
    UnitClipper unit(engine);
    for (std::size_t i = 0; i < network.examples(); ++i) {
      network.Run(i, unit);
      ASSERT_TRUE(unit.EndUnit());
    }
    EXPECT_LT(RelativeError(Values(std::move(engine).Finish()), naive), 1e-5);
  }
}

TEST_P(EveryFixture, AutomaticAndPerGroupClippingEqualTheNaiveLoops) {
  const WholeNetwork network(GetParam());
  const double clip_norm = MiddleNorm(network);
  const ClipRule automatic = {
      .style = ClipRule::Style::kAutomatic, .clip_norms = {clip_norm}, .stability = 0.01};
  const ClipRule grouped = {.style = ClipRule::Style::kPerGroup,
                            .clip_norms = {clip_norm / 2, clip_norm / 3, clip_norm / 4}};
  at::Tensor naive_automatic =
      at::zeros({network.numbers().parameters()}, at::TensorOptions(at::kDouble));
  at::Tensor naive_grouped = at::zeros_like(naive_automatic);
  BookKeeping automatic_engine = Engine(network, automatic, NormMethod::kCheapest);
  BookKeeping grouped_engine = Engine(network, grouped, NormMethod::kCheapest);
  UnitClipper automatic_unit(automatic_engine), grouped_unit(grouped_engine);
  for (std::size_t i = 0; i < network.examples(); ++i) {
    network.Run(i, automatic_unit);
    ASSERT_TRUE(automatic_unit.EndUnit());
    network.Run(i, grouped_unit);
    ASSERT_TRUE(grouped_unit.EndUnit());
    const at::Tensor gradient = network.Gradient(i);
    naive_automatic += gradient * (clip_norm / (Norm(gradient) + 0.01));
    std::array<double, 3> squared = {};
    const auto& shapes = network.numbers().shapes();
    const auto part = [&](const at::Tensor& flat, std::size_t p) {
      return flat.narrow(0, shapes[p].offset, shapes[p].elements());
    };
    for (std::size_t p = 0; p < shapes.size(); ++p) {
      squared[p % 3] += std::pow(Norm(part(gradient, p)), 2);
    }
    for (std::size_t p = 0; p < shapes.size(); ++p) {
      part(naive_grouped, p) +=
          part(gradient, p) * std::min(1.0, grouped.clip_norms[p % 3] / std::sqrt(squared[p % 3]));
    }
  }
  EXPECT_LT(RelativeError(Values(std::move(automatic_engine).Finish()), naive_automatic), 1e-5);
  const ClippedSum sum = std::move(grouped_engine).Finish();
  EXPECT_LT(RelativeError(Values(sum), naive_grouped), 1e-5);
  EXPECT_NEAR(sum.clip_norm(), clip_norm * std::sqrt(1.0 / 4 + 1.0 / 9 + 1.0 / 16), 1e-12);
}

// All examples are one user's: clipped together, whatever parts they come in.
TEST_P(EveryFixture, AUsersExamplesAreClippedTogether) {
  const WholeNetwork network(GetParam());
  at::Tensor whole = at::zeros({network.numbers().parameters()}, at::TensorOptions(at::kDouble));
  for (std::size_t i = 0; i < network.examples(); ++i) whole += network.Gradient(i);
  const double clip_norm = Norm(whole) / 2;
  BookKeeping engine =
      Engine(network, {.clip_norms = {clip_norm}}, NormMethod::kCheapest, PrivacyUnit::kUser);
  UnitClipper unit(engine);
  for (std::size_t i = 0; i < network.examples(); ++i) {
    network.Run(i, unit);
    if (i + 1 < network.examples()) unit.EndPart();
  }
  const auto norm = unit.EndUnit();
  ASSERT_TRUE(norm);
  EXPECT_NEAR(norm->computed, Norm(whole), 1e-5 * Norm(whole));
  EXPECT_LT(RelativeError(Values(std::move(engine).Finish()), whole / 2), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Clipping, EveryFixture,
                         testing::ValuesIn(cloister::fixtures::FixtureFolders()),
                         [](const auto& info) {
                           return cloister::fixtures::FixtureName(info.param);
                         });

// The count of units within the clip norm rides along with the sum, in one release.
TEST(AdaptiveClipNorm, CountIsPartOfTheSumAndOfItsSensitivity) {
  const WholeNetwork network(std::filesystem::path(CLOISTER_TEST_DATA) / "models/llama");
  const double clip_norm = (network.golden_norm(0) + network.golden_norm(1)) / 2;
  const double weight = CountWeight(clip_norm, 1.0, 1.0);
  BookKeeping engine =
      BookKeeping::Create(network.numbers().shapes(), {.rule = {.clip_norms = {clip_norm}},
                                                       .unit = PrivacyUnit::kRecord,
                                                       .neighbours = Neighbours::kAddOrRemoveOne,
                                                       .count_weight = weight})
          .value();
  int within = 0;
  UnitClipper unit(engine);
  for (std::size_t i = 0; i < network.examples(); ++i) {
    network.Run(i, unit);
    within += unit.EndUnit()->bound <= clip_norm ? 1 : -1;
  }
  const ClippedSum sum = std::move(engine).Finish();
  ASSERT_EQ(static_cast<std::int64_t>(Unnoised::Values(sum).size()),
            network.numbers().parameters() + 1);
  EXPECT_NEAR(Unnoised::Values(sum).back(), within * weight / 2, sum.spacing());
  // Noise of `joint` times the whole's sensitivity is noise of 1 times each part's.
  const double joint = JointNoiseMultiplier(1.0, 1.0);
  EXPECT_NEAR(joint, std::sqrt(0.5), 1e-15);
  EXPECT_NEAR(joint * sum.clip_norm(), clip_norm, 1e-12 * clip_norm);
  EXPECT_NEAR(joint * sum.clip_norm(), weight / 2, 1e-12 * clip_norm);
}

}  // namespace
}  // namespace cloister::dp::clipping
