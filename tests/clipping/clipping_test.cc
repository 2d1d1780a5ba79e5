#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "dp/mechanism/unnoised.h"
#include "tests/clipping/network_case.h"
#include "tests/clipping/torch.h"

namespace cloister::dp::clipping {
namespace {

BookKeeping Engine(std::vector<ParameterShape> shapes, double clip_norm,
                   NormMethod method = NormMethod::kCheapest) {
  return BookKeeping::Create(std::move(shapes), {.rule = {.clip_norms = {clip_norm}},
                                                 .unit = PrivacyUnit::kRecord,
                                                 .neighbours = Neighbours::kAddOrRemoveOne,
                                                 .method = method})
      .value();
}

double Norm(const at::Tensor& x) { return at::linalg_vector_norm(x).item<double>(); }

// The sum that the definition of DP-SGD asks for: each example alone, clipped, added.
at::Tensor NaiveSum(const NetworkCase& one, double clip_norm) {
  at::Tensor sum = at::zeros({one.parameters()}, at::TensorOptions(at::kDouble));
  for (std::size_t i = 0; i < one.examples(); ++i) {
    const at::Tensor gradient = one.Gradient(i);
    sum += gradient * std::min(1.0, clip_norm / Norm(gradient));
  }
  return sum;
}

// A clip norm that some examples pass and some do not.
double MiddleNorm(const NetworkCase& one) {
  std::vector<double> norms;
  for (std::size_t i = 0; i < one.examples(); ++i) norms.push_back(Norm(one.Gradient(i)));
  std::sort(norms.begin(), norms.end());
  return (norms[norms.size() / 2 - 1] + norms[norms.size() / 2]) / 2;
}

at::Tensor EngineSum(const NetworkCase& one, double clip_norm,
                     NormMethod method = NormMethod::kCheapest) {
  BookKeeping engine = Engine(one.shapes(), clip_norm, method);
  UnitClipper unit(engine);
  for (std::size_t i = 0; i < one.examples(); ++i) {
    one.Run(std::array{i}, unit);
    EXPECT_TRUE(unit.EndUnit());
  }
  return Values(std::move(engine).Finish());
}

double RelativeError(const at::Tensor& a, const at::Tensor& b) { return Norm(a - b) / Norm(b); }

// Broken on purpose: clips by the norm of the first parameter's gradient alone.
at::Tensor OneParameterNormSum(const NetworkCase& one, double clip_norm) {
  at::Tensor sum = at::zeros({one.parameters()}, at::TensorOptions(at::kDouble));
  for (std::size_t i = 0; i < one.examples(); ++i) {
    const at::Tensor gradient = one.Gradient(i);
    const double norm = Norm(gradient.narrow(0, 0, one.shapes()[0].elements()));
    sum += gradient * std::min(1.0, clip_norm / norm);
  }
  return sum;
}

struct Setting {
  std::string fixture;
  std::int64_t rank;
  std::int64_t first_layer;
};

class OnFixtures : public testing::TestWithParam<Setting> {
 protected:
  NetworkCase Case() const { return {GetParam().fixture, GetParam().rank, GetParam().first_layer}; }
};

TEST_P(OnFixtures, NormsEqualThoseOfAPerExampleLoop) {
  const NetworkCase one = Case();
  for (const NormMethod method :
       {NormMethod::kCheapest, NormMethod::kInstantiate, NormMethod::kGram}) {
    BookKeeping engine = Engine(one.shapes(), 1.0, method);
    UnitClipper unit(engine);
    for (std::size_t i = 0; i < one.examples(); ++i) {
      one.Run(std::array{i}, unit);
      const auto norm = unit.EndUnit();
      ASSERT_TRUE(norm);
      const double expected = Norm(one.Gradient(i));
      EXPECT_NEAR(norm->computed, expected, 1e-5 * expected);
      EXPECT_GE(norm->bound, norm->computed);
      EXPECT_LE(norm->bound, 1.001 * norm->computed);
    }
  }
}

TEST_P(OnFixtures, ClippedSumEqualsTheNaiveLoops) {
  const NetworkCase one = Case();
  const double clip_norm = MiddleNorm(one);
  const at::Tensor naive = NaiveSum(one, clip_norm);
  for (const NormMethod method :
       {NormMethod::kCheapest, NormMethod::kInstantiate, NormMethod::kGram}) {
    EXPECT_LT(RelativeError(EngineSum(one, clip_norm, method), naive), 1e-5);
  }
  // The comparison would catch an engine that does not clip, or clips by a part of the norm.
  EXPECT_GT(RelativeError(EngineSum(one, 1e9), naive), 1e-2);
  EXPECT_GT(RelativeError(OneParameterNormSum(one, clip_norm), naive), 1e-2);
}

TEST_P(OnFixtures, OneExampleMovesTheSumByTheClipNormAtMost) {
  const NetworkCase one = Case();
  const double clip_norm = MiddleNorm(one) / 10;  // every example is clipped
  for (std::size_t i = 0; i < one.examples(); ++i) {
    BookKeeping engine = Engine(one.shapes(), clip_norm);
    UnitClipper unit(engine);
    one.Run(std::array{i}, unit);
    ASSERT_TRUE(unit.EndUnit());
    const ClippedSum sum = std::move(engine).Finish();
    EXPECT_LE(Norm(Values(sum)), clip_norm + sum.excess());
    EXPECT_GT(Norm(Values(sum)), 0.999 * clip_norm);
    EXPECT_LT(sum.excess(), 1e-3 * clip_norm);
  }
}

INSTANTIATE_TEST_SUITE_P(Clipping, OnFixtures,
                         testing::Values(Setting{"llama", 3, 0}, Setting{"llama", 1, 1},
                                         Setting{"llama-tied-rope3", 8, 0},
                                         // Latent attention and experts, with query latents and
                                         // without.
                                         Setting{"deepseek-v2", 2, 0}, Setting{"deepseek-v3", 2, 1},
                                         Setting{"deepseek-v3-biases", 4, 0},
                                         Setting{"qwen3", 2, 0}),
                         [](const auto& info) {
                           std::string name = info.param.fixture + "_rank" +
                                              std::to_string(info.param.rank) + "_from" +
                                              std::to_string(info.param.first_layer);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// Three examples through one path; the second one's input is `poison` in one place.
at::Tensor PoisonedSum(float poison, std::span<const std::int64_t> chosen) {
  at::manual_seed(5);
  at::Tensor x = at::randn({3, 4, 5});
  const at::Tensor weight = at::randn({3, 4, 6});
  const at::Tensor a = at::randn({2, 5}).requires_grad_(), b = at::randn({6, 2}).requires_grad_();
  x[1][2][3] = poison;
  BookKeeping engine = Engine(
      {{.rows = 2, .columns = 5, .offset = 0}, {.rows = 6, .columns = 2, .offset = 10}}, 1.0);
  UnitClipper unit(engine);
  for (const std::int64_t i : chosen) {
    const at::Tensor y = LoraPath(x.narrow(0, i, 1), a, b, 0.5, {&unit, 0, 1});
    torch::autograd::backward({(y * weight[i]).sum()}, {});
    EXPECT_TRUE(unit.EndUnit());
  }
  return Values(std::move(engine).Finish());
}

TEST(BookKeeping, NonFiniteExampleContributesZero) {
  std::printf("seed 5\n");
  const std::vector<std::int64_t> all = {0, 1, 2}, others = {0, 2}, second = {1};
  for (const float poison : {NAN, INFINITY, -INFINITY}) {
    EXPECT_TRUE(at::equal(PoisonedSum(poison, all), PoisonedSum(1.0F, others)));
  }
  // A finite value there does contribute.
  EXPECT_GT(Norm(PoisonedSum(1.0F, second)), 0.1);
}

// A unit's vector in a sum of its own: a matrix that is worked on in fp32, with so many tokens that
// have one number `left` and one number `right` each.
double NormOfOutliers(std::int64_t tokens, float left, float right, bool alternate) {
  constexpr std::int64_t kSize = 576;
  at::Tensor l = at::zeros({tokens, kSize}), r = at::zeros({tokens, kSize});
  l.select(1, 3).fill_(left);
  r.select(1, 5).fill_(right);
  if (alternate) l.slice(0, 0, tokens, 2).neg_();
  BookKeeping engine = Engine({{.rows = kSize, .columns = kSize}}, 1.0);
  UnitClipper unit(engine);
  unit.ObserveMatrix(0, l, r);
  EXPECT_TRUE(unit.EndUnit());
  const double excess = engine.excess();
  const double norm = Norm(Values(std::move(engine).Finish()));
  EXPECT_LE(norm, 1 + excess) << tokens << " " << left << " " << right;
  return norm;
}

// Gram matrices can be finite where an entry of the gradient is not.
TEST(BookKeeping, AGradientBeyondTheRangeOfItsNumbersContributesZero) {
  EXPECT_EQ(NormOfOutliers(2, 1.5e19F, 1.5e19F, false), 0);
  EXPECT_EQ(NormOfOutliers(2, 1.5e19F, 1.5e19F, true), 0);
  EXPECT_EQ(NormOfOutliers(250, 1.8e19F, 1.8e19F, false), 0);
  EXPECT_GT(NormOfOutliers(2, 1e18F, 1e18F, false), 0.99);
}

TEST(BookKeeping, EmptyDrawIsAZeroVector) {
  const ClippedSum sum = Engine({{.rows = 1, .columns = 4}}, 1.0).Finish();
  EXPECT_EQ(Unnoised::Values(sum), std::vector<double>(4, 0.0));
  EXPECT_EQ(sum.clip_norm(), 1.0);
}

TEST(BookKeeping, RefusesWrongRules) {
  using Style = ClipRule::Style;
  for (const double clip_norm : {0.0, -1.0, static_cast<double>(NAN), HUGE_VAL}) {
    for (const Style style : {Style::kFlat, Style::kAutomatic, Style::kPerGroup}) {
      const ClipRule rule = {.style = style, .clip_norms = {clip_norm}, .stability = 0.01};
      const auto engine = BookKeeping::Create({}, {.rule = rule});
      ASSERT_FALSE(engine);
      EXPECT_EQ(engine.error().code, base::Code::kInvalidArgument);
    }
  }
  EXPECT_FALSE(BookKeeping::Create({}, {.rule = {}}));
  EXPECT_FALSE(BookKeeping::Create({}, {.rule = {.style = Style::kAutomatic, .clip_norms = {1}}}));
  EXPECT_FALSE(BookKeeping::Create({{.rows = 1}, {.rows = 1, .offset = 1, .group = 1}},
                                   {.rule = {.style = Style::kPerGroup, .clip_norms = {1}}}));
  EXPECT_FALSE(BookKeeping::Create(
      {}, {.rule = {.style = Style::kAutomatic, .clip_norms = {1}, .stability = 1},
           .count_weight = 1}));
}

}  // namespace
}  // namespace cloister::dp::clipping
