// What a recipe says of how a run goes: its learning rate and its checkpoints.
#include <string>
#include <utility>
#include <vector>

#include "tests/trainer/recipe_case.h"

namespace cloister::trainer {
namespace {

using testing::HasSubstr;

TEST(Recipe, TheRateMovesAsARecipeSays) {
  EXPECT_EQ(Load("lora.yaml", {})->schedule.shape, Schedule::Shape::kConstant);
  const auto recipe = Load("lora.yaml", {"optimizer.schedule=cosine", "optimizer.warmup_steps=3",
                                         "optimizer.final_share=0.1"});
  ASSERT_TRUE(recipe) << recipe.error().message;
  const auto again = LoadText(ToYaml(*recipe));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->schedule.shape, Schedule::Shape::kCosine);
  EXPECT_EQ(again->schedule.warmup_steps, 3);
  EXPECT_EQ(again->schedule.final_share, 0.1);
  // It depends on the number of steps, which is pinned then.
  EXPECT_NE(PinnedRecipe(*Load("lora.yaml", {"optimizer.schedule=cosine", "training.steps=77"})),
            PinnedRecipe(*Load("lora.yaml", {"optimizer.schedule=cosine", "training.steps=78"})));
  ExpectFault(Load("lora.yaml", {"optimizer.schedule=step"}), HasSubstr("write constant, linear"));
  ExpectFault(Load("lora.yaml", {"optimizer.final_share=0.1"}), HasSubstr("linear or cosine"));
  ExpectFault(Load("lora.yaml", {"training.steps=5", "optimizer.warmup_steps=5"}),
              HasSubstr("fewer than 'training.steps'"));
}

TEST(Recipe, OptimizersAreNamed) {
  EXPECT_EQ(Load("lora.yaml", {})->optimizer.kind, OptimizerKind::kAdamW);
  for (const auto& [name, kind] :
       std::vector<std::pair<std::string, OptimizerKind>>{{"adamw", OptimizerKind::kAdamW},
                                                          {"adamw_8bit", OptimizerKind::kAdamW8Bit},
                                                          {"sgd", OptimizerKind::kSgd}}) {
    const auto recipe = Load("lora.yaml", {"optimizer.name=" + name});
    ASSERT_TRUE(recipe) << recipe.error().message;
    EXPECT_EQ(recipe->optimizer.kind, kind);
    EXPECT_EQ(LoadText(ToYaml(*recipe))->optimizer, recipe->optimizer);
  }
  const auto sgd = Load("lora.yaml", {"optimizer={name: sgd, learning_rate: 0.5, momentum: 0.9, "
                                      "nesterov: true, weight_decay: 0.1}"});
  ASSERT_TRUE(sgd) << sgd.error().message;
  EXPECT_EQ(sgd->optimizer.momentum, 0.9);
  EXPECT_TRUE(sgd->optimizer.nesterov);
  EXPECT_EQ(LoadText(ToYaml(*sgd))->optimizer, sgd->optimizer);
  EXPECT_NE(PinnedRecipe(*sgd), PinnedRecipe(*Load("lora.yaml", {})));
  ExpectFault(Load("lora.yaml", {"optimizer.name=lion"}), HasSubstr("adamw, adamw_8bit or sgd"));
  ExpectFault(Load("lora.yaml", {"optimizer.name=sgd", "optimizer.beta1=0.5"}),
              HasSubstr("'optimizer.beta1' goes with 'optimizer.name' adamw or adamw_8bit"));
  ExpectFault(Load("lora.yaml", {"optimizer.momentum=0.5"}),
              HasSubstr("'optimizer.momentum' goes with 'optimizer.name' sgd"));
  ExpectFault(Load("lora.yaml", {"optimizer.name=sgd", "optimizer.nesterov=true"}),
              HasSubstr("above 0"));
}

TEST(Recipe, NoiseBiasIsCorrectedWhereThereIsNoise) {
  const std::vector<std::string> on = {"optimizer.noise_bias_correction=true",
                                       "optimizer.noise_bias_floor=1e-9"};
  const auto recipe = Load("dp-lora.yaml", on);
  ASSERT_TRUE(recipe) << recipe.error().message;
  EXPECT_EQ(recipe->optimizer.noise_bias_floor, 1e-9);
  EXPECT_EQ(LoadText(ToYaml(*recipe))->optimizer, recipe->optimizer);
  EXPECT_FALSE(Load("dp-lora.yaml", {})->optimizer.noise_bias_floor);
  ExpectFault(Load("lora.yaml", on), HasSubstr("there is no noise"));
  ExpectFault(Load("dp-lora.yaml", {on[0]}), HasSubstr("'optimizer.noise_bias_floor' is missing"));
  ExpectFault(Load("dp-lora.yaml", {on[1]}), HasSubstr("noise_bias_correction"));
}

TEST(Recipe, TheLossIsAMeanOfTokensOrOfExamples) {
  EXPECT_EQ(Load("lora.yaml", {})->training.loss_mean, LossMean::kToken);
  const auto recipe = Load("lora.yaml", {"training.loss_mean=example"});
  ASSERT_TRUE(recipe) << recipe.error().message;
  EXPECT_EQ(LoadText(ToYaml(*recipe))->training.loss_mean, LossMean::kExample);
  EXPECT_EQ(Load("dp-lora.yaml", {})->training.loss_mean, LossMean::kExample);
  EXPECT_TRUE(Load("dp-lora.yaml", {"training.loss_mean=example"}));
  ExpectFault(Load("dp-lora.yaml", {"training.loss_mean=token"}), HasSubstr("is a secret"));
  ExpectFault(Load("lora.yaml", {"training.loss_mean=batch"}), HasSubstr("token or example"));
}

TEST(Recipe, TheAverageAndTheBestAreAsked) {
  const auto recipe = Load("lora.yaml", {"training.ema_decay=0.99",
                                         "checkpoints={folder: c, every: 5, keep_best: true, "
                                         "load_best_model_at_end: true}"});
  ASSERT_TRUE(recipe) << recipe.error().message;
  const auto again = LoadText(ToYaml(*recipe));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->training.ema_decay, 0.99);
  EXPECT_TRUE(again->checkpoints->keep_best);
  EXPECT_TRUE(again->checkpoints->load_best_at_end);
  EXPECT_FALSE(Load("lora.yaml", {})->training.ema_decay);
  ExpectFault(Load("lora.yaml", {"training.ema_decay=1"}), HasSubstr("training.ema_decay"));
  ExpectFault(
      Load("lora.yaml", {"data.eval=null", "checkpoints={folder: c, every: 5, keep_best: true}"}),
      HasSubstr("'checkpoints.keep_best' needs 'data.eval'"));
  ExpectFault(
      Load("lora.yaml", {"checkpoints={folder: c, every: 5, load_best_model_at_end: true}"}),
      HasSubstr("goes with 'checkpoints.keep_best'"));
}

TEST(Recipe, CheckpointsAreAsked) {
  EXPECT_FALSE(Load("lora.yaml", {})->checkpoints);
  const auto recipe = Load("lora.yaml", {"checkpoints={folder: there, every: 5}"});
  ASSERT_TRUE(recipe) << recipe.error().message;
  const auto again = LoadText(ToYaml(*recipe));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->checkpoints->folder, "there");
  EXPECT_EQ(again->checkpoints->every, 5);
  EXPECT_EQ(again->checkpoints->keep, 2);
  ExpectFault(Load("lora.yaml", {"checkpoints.every=5"}),
              HasSubstr("'checkpoints.folder' is missing"));
  ExpectFault(Load("lora.yaml", {"checkpoints={folder: there, every: 0}"}),
              HasSubstr("checkpoints.every"));
}

TEST(Recipe, CheckpointsAndOutputLieApart) {
  for (const auto& [output, folder] :
       std::vector<std::pair<std::string, std::string>>{{"runs/a", "runs/a"},
                                                        {"runs/a", "runs/a/c"},
                                                        {"runs/a/o", "runs/a"},
                                                        {"runs/a", "runs/b/../a/c"}}) {
    ExpectFault(
        Load("lora.yaml", {"output=" + output, "checkpoints={folder: " + folder + ", every: 5}"}),
        HasSubstr("must not lie in one another"));
  }
  EXPECT_TRUE(Load("lora.yaml", {"output=runs/a", "checkpoints={folder: runs/ab, every: 5}"}));
}

TEST(Recipe, WhatARunGoesOnWithIsPinned) {
  const Recipe recipe = *Load("lora.yaml", {});
  const std::string pinned = PinnedRecipe(recipe);
  EXPECT_EQ(PinnedRecipe(*Load("lora.yaml", {"output=x", "training.threads=3", "training.steps=77",
                                             "data.train=y"})),
            pinned);
  for (const char* const change :
       {"optimizer.beta1=0.5", "training.seed=9", "lora.seed=9", "data.max_tokens=17",
        "training.micro_batch_tokens=17", "training.precision=bf16"}) {
    EXPECT_NE(PinnedRecipe(*Load("lora.yaml", {change})), pinned) << change;
  }
  const std::string with_privacy = PinnedRecipe(*Load("dp-lora.yaml", {}));
  for (const char* const change : {"training.steps=77", "privacy.delta=1e-9",
                                   "privacy.nominal_units=99", "privacy.unit=user"}) {
    EXPECT_NE(PinnedRecipe(*Load("dp-lora.yaml", {change})), with_privacy) << change;
  }
  EXPECT_EQ(PinnedRecipe(*Load("dp-lora.yaml", {"privacy.ledger=elsewhere"})), with_privacy);
}

}  // namespace
}  // namespace cloister::trainer
