#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "dp/accounting/calibration.h"
#include "tests/base/own_path.h"
#include "tests/trainer/tiny_chat_model.h"
#include "trainer/recipe/recipe.h"
#include "trainer/run/training_run.h"
#include "trainer/suggest/step_choice.h"
#include "trainer/suggest/suggestion.h"

namespace cloister::trainer {
namespace {

using testing::HasSubstr;

StepQuestion Question(double epsilon, std::int64_t units = 2000) {
  return {.epsilon = epsilon,
          .delta = 1e-5,
          .neighbours = dp::Neighbours::kAddOrRemoveOne,
          .units = units,
          .epochs = 5};
}

double NoiseAt(const StepQuestion& question, std::int64_t steps) {
  return dp::SmallestNoise(
             {question.epsilon, question.delta, question.neighbours, dp::Accountant::kPld},
             question.epochs / static_cast<double>(steps), steps)
      .value();
}

TEST(ChooseSteps, TakesTheMostStepsWhoseNoiseIsNotBelowOne) {
  for (const double epsilon : {3.0, 8.0}) {
    const StepQuestion question = Question(epsilon);
    const StepChoice choice = ChooseSteps(question).value();
    EXPECT_DOUBLE_EQ(choice.sampling_rate, 5 / static_cast<double>(choice.steps));
    EXPECT_NEAR(choice.noise_multiplier, NoiseAt(question, choice.steps), 1e-4);
    EXPECT_GE(choice.noise_multiplier, kLeastNoise);
    EXPECT_LT(NoiseAt(question, choice.steps + choice.steps / 25 + 1), kLeastNoise);
  }
}

TEST(ChooseSteps, NoBatchIsSmallAndNoRateAboveOne) {
  const StepChoice small = ChooseSteps(Question(0.5, 400)).value();  // noise of one is far away
  EXPECT_GE(small.sampling_rate * 400, kLeastBatch);
  EXPECT_GT(small.noise_multiplier, 1.1);
  StepQuestion loose = Question(200);  // and here it is passed by the first choice
  const StepChoice few = ChooseSteps(loose).value();
  EXPECT_EQ(few.steps, 5);
  EXPECT_EQ(few.sampling_rate, 1);
  EXPECT_FALSE(ChooseSteps(Question(-1)));
}

using Method = SuggestionRequest::Method;

class SuggestTest : public InOwnFolder {
 protected:
  void SetUp() override {
    InOwnFolder::SetUp();
    WriteTinyChatModel(folder_ / "model");
    std::ofstream data(folder_ / "train.jsonl");
    for (int i = 0; i < 40; ++i) {
      data << R"({"messages": [{"role": "user", "content": "What is )" << i
           << R"(?"}, {"role": "assistant", "content": "It is )" << i << "\"}]}\n";
    }
  }

  SuggestionRequest Request(bool is_private, Method method = Method::kLora) const {
    SuggestionRequest request;
    request.model = folder_ / "model";
    request.train = folder_ / "train.jsonl";
    request.output = folder_ / "out";
    request.method = method;
    request.units = 40;
    request.unit_tokens = 24;
    request.max_tokens = 32;
    request.epochs = 2;
    if (is_private) request.privacy = {.epsilon = 4, .delta = {}, .unit = dp::PrivacyUnit::kRecord};
    return request;
  }
};

TEST_F(SuggestTest, WhatItPrintsRuns) {
  for (const bool is_private : {false, true}) {
    for (const Method method : {Method::kLora, Method::kQlora, Method::kFull}) {
      const auto made = Suggest(Request(is_private, method));
      ASSERT_TRUE(made) << made.error().message;
      EXPECT_GT(made->cost.seconds_a_unit, 0);
      EXPECT_GT(made->cost.peak_bytes, 1 << 20);
      EXPECT_EQ(made->noise_multiplier.has_value(), is_private);
      std::ofstream(folder_ / "recipe.yaml") << made->ToText();
      const std::string ledger = "privacy.ledger=" + (folder_ / "ledgers/new").string();
      const std::vector<std::string> overrides =
          is_private ? std::vector{ledger} : std::vector<std::string>();
      const auto recipe = LoadRecipe(folder_ / "recipe.yaml", overrides);
      ASSERT_TRUE(recipe) << recipe.error().message;
      EXPECT_EQ(recipe->lora.has_value(), method != Method::kFull);
      nlohmann::json done;
      const base::Status ran = RunTraining(*recipe, [&](const auto& event) { done = event; }, {});
      ASSERT_TRUE(ran) << ran.error().message;
      if (is_private) {
        EXPECT_LE(done["epsilon"].get<double>(), 4);
        EXPECT_GT(done["epsilon"].get<double>(), 3.9);
        EXPECT_EQ(done["delta"].get<double>(), 1e-3);  // at most a tenth of 1/40
      }
      for (const char* left : {"out", "ledgers"}) {
        std::filesystem::remove_all(folder_ / left);
      }
    }
  }
}

TEST_F(SuggestTest, WhatDoesNotFitIsNamed) {
  const auto said = [&](const auto& change) {
    SuggestionRequest request = Request(true);
    change(request);
    const auto made = Suggest(request);
    EXPECT_FALSE(made);
    return made ? std::string() : made.error().message;
  };
  EXPECT_THAT(said([](auto& request) { request.units = 3; }), HasSubstr("--units"));
  EXPECT_THAT(said([](auto& request) { request.unit_tokens = 33; }), HasSubstr("--tokens"));
  EXPECT_THAT(said([](auto& request) { request.max_tokens = 1; }), HasSubstr("--max-tokens"));
  EXPECT_THAT(said([](auto& request) { request.max_tokens = 1 << 20; }), HasSubstr("--max-tokens"));
  EXPECT_THAT(said([](auto& request) { request.epochs = -1; }), HasSubstr("--epochs"));
  EXPECT_THAT(said([](auto& request) { request.epochs = 0; }), HasSubstr("--epochs"));
  EXPECT_THAT(said([](auto& request) { request.privacy->delta = 0.5; }), HasSubstr("--delta"));
  EXPECT_THAT(said([](auto& request) { request.privacy->epsilon = 0; }), HasSubstr("psilon"));
  EXPECT_THAT(said([](auto& request) { request.model = "nowhere"; }), HasSubstr("nowhere"));
}

}  // namespace
}  // namespace cloister::trainer
