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
