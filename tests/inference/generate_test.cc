#include "inference/engine/generate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "inference/engine/sampler.h"
#include "inference/engine/score.h"
#include "tests/inference/synthetic_engine.h"

namespace cloister::inference {
namespace {

using model::TokenId;

TEST(GenerateTest, GreedyFollowsTheBestLogitAndEndsAtAnEndToken) {
  const auto engine = LoadEngine(Model());
  const std::vector<TokenId> prompt = Ids(5);
  const auto on_token = [](TokenId) { return base::Status(); };
  const auto all = Generate(*engine, prompt, {.max_new_tokens = 12}, on_token);
  ASSERT_TRUE(all);
  ASSERT_EQ(all->ids.size(), 12u);
  EXPECT_FALSE(all->stopped);
  std::vector<TokenId> sequence = prompt;
  for (const TokenId id : all->ids) {
    EXPECT_EQ(id, Argmax(AllLogits(*engine, sequence).back()));
    sequence.push_back(id);
  }
  const auto first = std::find(all->ids.begin(), all->ids.end(), all->ids[7]) - all->ids.begin();
  const auto ended =
      Generate(*engine, prompt, {.max_new_tokens = 12, .end_tokens = {all->ids[7]}}, on_token);
  ASSERT_TRUE(ended);
  EXPECT_TRUE(ended->stopped);
  EXPECT_EQ(ended->ids, std::vector<TokenId>(all->ids.begin(), all->ids.begin() + first));
}

TEST(SamplerTest, EqualLogitsGoToTheLowerId) {
  EXPECT_EQ(Argmax(std::vector<float>{1, 3, 3, 2}), 1);
  EXPECT_EQ(TopIds(std::vector<float>{1, 3, 3, 2}, 3), (std::vector<TokenId>{1, 2, 3}));
  EXPECT_EQ(TopIds(std::vector<float>{1, 3}, 8).size(), 2u);
}

TEST(SamplerTest, ASeedGivesTheSameDrawsAndAnotherSeedOthers) {
  std::vector<float> logits(50);
  for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i % 7);
  const auto draw = [&](std::uint64_t seed) {
    Sampler sampler(1.0, seed);
    std::vector<TokenId> ids;
    for (int i = 0; i < 30; ++i) ids.push_back(sampler.Next(logits));
    return ids;
  };
  EXPECT_EQ(draw(7), draw(7));
  EXPECT_NE(draw(7), draw(8));
}

// Frequencies within five standard deviations of softmax(logits / T); the same test with another
// temperature's probabilities fails.
TEST(SamplerTest, DrawsFollowTheSoftmaxAtTheTemperature) {
  const std::vector<float> logits = {0.0f, 1.0f, 2.0f, -1000.0f};
  constexpr int kDraws = 20000;
  Sampler sampler(2.0, 123);
  std::vector<int> counts(4);
  for (int i = 0; i < kDraws; ++i) ++counts[static_cast<std::size_t>(sampler.Next(logits))];
  const auto deviations = [&](double temperature) {
    double worst = 0;
    double total = 0;
    for (int i = 0; i < 3; ++i) total += std::exp(i / temperature);
    for (int i = 0; i < 3; ++i) {
      const double p = std::exp(i / temperature) / total;
      const double deviation = std::sqrt(kDraws * p * (1 - p));
      worst =
          std::max(worst, std::fabs(counts[static_cast<std::size_t>(i)] - kDraws * p) / deviation);
    }
    return worst;
  };
  EXPECT_LT(deviations(2.0), 5);
  EXPECT_GT(deviations(1.8), 5);
  EXPECT_EQ(counts[3], 0);
}

TEST(ScoreTest, SumsTheLikelihoodOfEachIdGivenThoseBefore) {
  const auto engine = LoadEngine(Model());
  const std::vector<TokenId> ids = Ids(9);
  const auto rows = AllLogits(*engine, ids);
  double expected = 0;
  for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
    double total = 0;
    for (const float logit : rows[i]) total += std::exp(static_cast<double>(logit));
    expected -= rows[i][static_cast<std::size_t>(ids[i + 1])] - std::log(total);
  }
  const auto score = ScoreSequence(*engine, ids, 8);
  ASSERT_TRUE(score);
  EXPECT_NEAR(score->nll_sum, expected, 1e-5);
  EXPECT_EQ(score->tokens, 8);
  EXPECT_EQ(score->top_ids, TopIds(rows.back(), 8));
  EXPECT_TRUE(std::is_sorted(score->top_logits.rbegin(), score->top_logits.rend()));
  const auto one = ScoreSequence(*engine, std::vector<TokenId>{5}, 8);
  ASSERT_TRUE(one);
  EXPECT_EQ(one->tokens, 0);
  EXPECT_EQ(one->nll_sum, 0);
  EXPECT_EQ(one->top_ids.size(), 8u);
}

TEST(ScoreTest, PerplexityScoresTheSecondHalfOfAChunk) {
  const auto engine = LoadEngine(Model());
  const std::vector<TokenId> ids = Ids(16);
  const auto rows = AllLogits(*engine, ids);
  double expected = 0;
  for (std::size_t i = 8; i < 15; ++i) expected += NegativeLogLikelihood(rows[i], ids[i + 1]);
  Perplexity perplexity;
  ASSERT_TRUE(AddChunk(*engine, ids, perplexity));
  EXPECT_EQ(perplexity.tokens, 7);
  EXPECT_NEAR(perplexity.nll_sum, expected, 1e-9);
  EXPECT_NEAR(perplexity.value(), std::exp(expected / 7), 1e-6);
}

}  // namespace
}  // namespace cloister::inference
