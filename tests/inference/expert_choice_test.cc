#include "inference/engine/expert_choice.h"

#include <gtest/gtest.h>

#include <cmath>

namespace cloister::inference {
namespace {

using model::Experts;

std::vector<std::int64_t> Indices(const std::vector<ChosenExpert>& chosen) {
  std::vector<std::int64_t> indices;
  for (const ChosenExpert& expert : chosen) indices.push_back(expert.index);
  return indices;
}

float Sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

Experts Softmax(std::int64_t count, std::int64_t per_token) {
  return {.count = count, .per_token = per_token};
}

Experts Grouped(Experts::GroupScore score) {
  Experts experts{.count = 6, .per_token = 2, .groups = 3, .groups_per_token = 1};
  experts.gate = Experts::Gate::kSigmoid;
  experts.group_score = score;
  return experts;
}

TEST(ExpertChoiceTest, SoftmaxWeightsAreOfAllExperts) {
  Experts experts = Softmax(4, 2);
  experts.scale = 3.0;
  const std::vector<float> logits = {0.5f, 2.0f, -1.0f, 1.0f};
  const auto chosen = ChooseExperts(experts, logits, {});
  ASSERT_EQ(Indices(chosen), (std::vector<std::int64_t>{1, 3}));
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  EXPECT_NEAR(chosen[0].weight, 3.0 * std::exp(2.0) / sum, 1e-6);
  EXPECT_NEAR(chosen[1].weight, 3.0 * std::exp(1.0) / sum, 1e-6);
}

TEST(ExpertChoiceTest, NormalizedWeightsSumToTheScale) {
  Experts experts = Softmax(5, 3);
  experts.normalize = true;
  experts.scale = 2.5;
  float sum = 0;
  for (const auto& expert : ChooseExperts(experts, std::vector<float>{1, 2, 3, 4, 5}, {})) {
    sum += expert.weight;
  }
  EXPECT_NEAR(sum, 2.5f, 1e-6);
}

TEST(ExpertChoiceTest, EqualScoresGoToTheLowerIndex) {
  const std::vector<float> equal(6, 0.25f);
  EXPECT_EQ(Indices(ChooseExperts(Softmax(6, 3), equal, {})), (std::vector<std::int64_t>{0, 1, 2}));
  EXPECT_EQ(Indices(ChooseExperts(Grouped(Experts::GroupScore::kTwoBest), equal, {})),
            (std::vector<std::int64_t>{0, 1}));
}

TEST(ExpertChoiceTest, TheCorrectionBiasChoosesAndDoesNotWeigh) {
  Experts experts = Softmax(3, 1);
  experts.gate = Experts::Gate::kSigmoid;
  experts.correction_bias = true;
  const std::vector<float> logits = {2.0f, 0.0f, -2.0f};
  const auto chosen = ChooseExperts(experts, logits, std::vector<float>{0.0f, 0.0f, 1.0f});
  ASSERT_EQ(Indices(chosen), (std::vector<std::int64_t>{2}));
  EXPECT_NEAR(chosen[0].weight, Sigmoid(-2.0f), 1e-6);
}

// The best expert lies in the first group, the best two together in the second.
TEST(ExpertChoiceTest, GroupsAreWorthTheirBestOrTheirTwoBest) {
  const std::vector<float> logits = {3.0f, -3.0f, 1.0f, 1.5f, 0.0f, 0.0f};
  EXPECT_EQ(Indices(ChooseExperts(Grouped(Experts::GroupScore::kBest), logits, {})),
            (std::vector<std::int64_t>{0, 1}));
  EXPECT_EQ(Indices(ChooseExperts(Grouped(Experts::GroupScore::kTwoBest), logits, {})),
            (std::vector<std::int64_t>{2, 3}));
}

// Though every score of the chosen group is below those of the others.
TEST(ExpertChoiceTest, NoExpertComesFromAnExcludedGroup) {
  const std::vector<float> logits(6, 0.0f);
  const std::vector<float> bias = {-5.0f, -5.0f, -9.0f, -0.5f, -7.0f, -7.0f};
  Experts experts = Grouped(Experts::GroupScore::kBest);
  experts.correction_bias = true;
  EXPECT_EQ(Indices(ChooseExperts(experts, logits, bias)), (std::vector<std::int64_t>{2, 3}));
}

TEST(ExpertChoiceTest, RouterLogitsThatAreNoNumbersChooseSomeExperts) {
  const std::vector<float> logits = {NAN, 1.0f, NAN, NAN};
  EXPECT_EQ(ChooseExperts(Softmax(4, 2), logits, {}).size(), 2u);
}

}  // namespace
}  // namespace cloister::inference
