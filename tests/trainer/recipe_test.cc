#include "trainer/recipe/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "trainer/recipe/schema.h"

namespace cloister::trainer {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::filesystem::path kConfigs = std::filesystem::path(CLOISTER_TEST_DATA) / "../../configs";

base::Result<Recipe> Load(const std::string& name, std::vector<std::string> overrides) {
  return LoadRecipe(kConfigs / name, overrides);
}

base::Result<Recipe> LoadText(const std::string& text) {
  const auto path = std::filesystem::path(testing::TempDir()) / "recipe_test.yaml";
  EXPECT_TRUE(base::WriteFile(path, text));
  return LoadRecipe(path, {});
}

void ExpectFault(const base::Result<Recipe>& recipe, const testing::Matcher<std::string>& message,
                 base::Code code = base::Code::kInvalidArgument) {
  ASSERT_FALSE(recipe);
  EXPECT_EQ(recipe.error().code, code);
  EXPECT_THAT(recipe.error().message, message);
  EXPECT_THAT(recipe.error().message, testing::Not(HasSubstr("\n")));
}

TEST(Recipe, ThoseInConfigsLoadAndReadBackResolved) {
  for (const char* name : {"dp-lora.yaml", "lora.yaml"}) {
    const auto recipe = Load(name, {});
    ASSERT_TRUE(recipe) << recipe.error().message;
    const std::string text = ToYaml(*recipe);
    const auto again = LoadText(text);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(ToYaml(*again), text);
    EXPECT_EQ(again->lora, recipe->lora);
    EXPECT_EQ(again->optimizer, recipe->optimizer);
    EXPECT_EQ(again->privacy.has_value(), recipe->privacy.has_value());
  }
}

TEST(Recipe, NamesEveryWrongKeyWithTheNearestRightOne) {
  ExpectFault(Load("dp-lora.yaml", {"privacy.clipnorm=1", "lora.ranks=2", "learning_rate=3"}),
              AllOf(HasSubstr("'privacy.clipnorm', nearest is 'privacy.clip_norm'"),
                    HasSubstr("'lora.ranks', nearest is 'lora.rank'"),
                    HasSubstr("'learning_rate', nearest is 'optimizer.learning_rate'"),
                    HasSubstr("dp-lora.yaml")));
}

TEST(Recipe, ChecksTypesAndRanges) {
  for (const auto& [text, key] : std::vector<std::pair<std::string, std::string>>{
           {"lora.rank=0", "lora.rank"},
           {"lora.rank=1.5", "lora.rank"},
           {"lora.rank=many", "lora.rank"},
           {"lora.rank=[1]", "lora.rank"},
           {"lora.targets=v_proj", "lora.targets"},
           {"lora.targets=[]", "lora.targets"},
           {"lora.use_rslora=2", "lora.use_rslora"},
           {"training.steps=-1", "training.steps"},
           {"training.steps=1e3", "training.steps"},
           {"optimizer.learning_rate=0", "optimizer.learning_rate"},
           {"optimizer.learning_rate=.nan", "optimizer.learning_rate"},
           {"privacy.sampling_rate=1.01", "privacy.sampling_rate"},
           {"privacy.sampling_rate=0", "privacy.sampling_rate"},
           {"privacy.delta=0", "privacy.delta"},
           {"privacy.noise_multiplier=.inf", "privacy.noise_multiplier"},
           {"output=[a, b]", "output"}}) {
    ExpectFault(Load("dp-lora.yaml", {text}), HasSubstr("'" + key + "' must be"));
  }
}

TEST(Recipe, NothingThatEpsilonDependsOnHasADefault) {
  for (const std::string key : {"delta", "clip_norm", "sampling_rate", "unit", "neighbours",
                                "nominal_units", "ledger", "budget_epsilon", "budget_delta"}) {
    ExpectFault(Load("dp-lora.yaml", {"privacy." + key + "=null"}),
                HasSubstr("'privacy." + key + "' is missing"));
  }
  ExpectFault(
      Load("dp-lora.yaml", {"privacy.noise_multiplier=null", "privacy.target_epsilon=null"}),
      HasSubstr("'privacy.noise_multiplier' or 'privacy.target_epsilon' is missing"));
}

TEST(Recipe, PrivateRunsTakeNoSeedAndNoFixedBatch) {
  ExpectFault(Load("dp-lora.yaml", {"training.seed=1"}), HasSubstr("'training.seed'"));
  ExpectFault(Load("dp-lora.yaml", {"training.batch_size=8"}), HasSubstr("'training.batch_size'"));
  ExpectFault(Load("dp-lora.yaml", {"privacy=null"}),
              HasSubstr("'training.batch_size' is missing"));
  const auto plain = Load("dp-lora.yaml", {"privacy=null", "training.batch_size=8"});
  ASSERT_TRUE(plain) << plain.error().message;
  EXPECT_FALSE(plain->privacy);
}

TEST(Recipe, AnEmptyPrivacySectionIsNotARunWithoutPrivacy) {
  const std::string plain = base::ReadFile(kConfigs / "lora.yaml", 1 << 20).value();
  for (const char* section : {"privacy: {}\n", "privacy:\n", "privacy: null\n"}) {
    ExpectFault(LoadText(plain + section), HasSubstr("section 'privacy' is empty"));
  }
  ExpectFault(Load("lora.yaml", {"privacy={}"}), HasSubstr("section 'privacy' is empty"));
  ExpectFault(Load("dp-lora.yaml", {"privacy={}"}), HasSubstr("section 'privacy' is empty"));
  ExpectFault(Load("lora.yaml", {"privacy=true"}), HasSubstr("section 'privacy' is no mapping"));
  ExpectFault(Load("dp-lora.yaml", {"privacy=", "training.batch_size=8"}),
              HasSubstr("--set privacy="));
  ExpectFault(LoadText("{}\n"), HasSubstr("holds no key"));
}

TEST(Recipe, ActivationsAreKeptUnlessARecipeSaysOtherwise) {
  EXPECT_FALSE(Load("lora.yaml", {})->training.compute.activation_checkpointing);
  const auto recipe = Load("lora.yaml", {"training.activation_checkpointing=true"});
  ASSERT_TRUE(recipe) << recipe.error().message;
  EXPECT_TRUE(recipe->training.compute.activation_checkpointing);
  EXPECT_TRUE(LoadText(ToYaml(*recipe))->training.compute.activation_checkpointing);
}

TEST(Recipe, PrecisionIsFp32UnlessARecipeSaysOtherwise) {
  EXPECT_EQ(Load("lora.yaml", {})->training.compute.precision, Precision::kFp32);
  const auto recipe = Load("lora.yaml", {"training.precision=bf16"});
  ASSERT_TRUE(recipe) << recipe.error().message;
  EXPECT_EQ(recipe->training.compute.precision, Precision::kBf16);
  EXPECT_EQ(LoadText(ToYaml(*recipe))->training.compute.precision, Precision::kBf16);
  ExpectFault(Load("lora.yaml", {"training.precision=fp16"}), HasSubstr("'training.precision'"));
}

TEST(Recipe, SaysWhatIsNotBuilt) {
  ExpectFault(Load("dp-lora.yaml", {"privacy.neighbours=zero-out"}),
              HasSubstr("privacy.neighbours"), base::Code::kUnimplemented);
}

TEST(Recipe, ClippingStylesTakeTheirOwnKeysAlone) {
  const auto styled = [](std::vector<std::string> more) {
    more.emplace_back("privacy.target_epsilon=null");
    return Load("dp-lora.yaml", more);
  };
  EXPECT_EQ(styled({})->privacy->clipping, Recipe::Clipping::kFlat);
  EXPECT_EQ(styled({"privacy.clipping=per-layer"})->privacy->clipping, Recipe::Clipping::kPerLayer);
  const auto automatic = styled({"privacy.clipping=automatic", "privacy.stability=0.01"});
  ASSERT_TRUE(automatic) << automatic.error().message;
  EXPECT_EQ(LoadText(ToYaml(*automatic))->privacy->stability, 0.01);
  ExpectFault(styled({"privacy.clipping=soft"}), HasSubstr("flat, automatic or per-layer"));
  ExpectFault(styled({"privacy.clipping=automatic"}), HasSubstr("'privacy.stability' is missing"));
  ExpectFault(styled({"privacy.stability=1"}), HasSubstr("automatic alone"));

  const std::string adaptive =
      "privacy.adaptive={quantile: 0.5, rate: 0.2, count_noise_multiplier: 5}";
  const auto moving = styled({adaptive});
  ASSERT_TRUE(moving) << moving.error().message;
  EXPECT_EQ(LoadText(ToYaml(*moving))->privacy->adaptive->count_noise_multiplier, 5);
  ExpectFault(styled({"privacy.adaptive.quantile=0.5"}), HasSubstr("wants all of"));
  ExpectFault(styled({adaptive, "privacy.clipping=per-layer"}), HasSubstr("flat alone"));
  ExpectFault(Load("dp-lora.yaml", {adaptive, "privacy.noise_multiplier=null"}),
              HasSubstr("wants 'privacy.noise_multiplier'"));
}

TEST(Recipe, DeltaOfOneOverTheUnitsIsRefusedUnlessForced) {
  ExpectFault(Load("dp-lora.yaml", {"privacy.delta=0.002"}),  // of 600 units
              AllOf(HasSubstr("'privacy.delta'"), HasSubstr("below 0.001667")));
  ExpectFault(Load("dp-lora.yaml", {"privacy.delta=0.01", "privacy.nominal_units=100"}),
              HasSubstr("privacy.allow_large_delta"));
  EXPECT_TRUE(Load("dp-lora.yaml", {"privacy.delta=0.0016"}));
  const auto forced =
      Load("dp-lora.yaml", {"privacy.delta=0.01", "privacy.allow_large_delta=true"});
  ASSERT_TRUE(forced) << forced.error().message;
  EXPECT_THAT(ToYaml(*forced), HasSubstr("allow_large_delta: true"));
}

TEST(Recipe, OverridesLieOverTheFile) {
  const auto recipe = Load("dp-lora.yaml", {"lora.rank=3", "lora.targets=[q_proj, o_proj]",
                                            "privacy={noise_multiplier: 2.5}"});
  ASSERT_TRUE(recipe) << recipe.error().message;
  EXPECT_EQ(recipe->lora.rank, 3);
  EXPECT_EQ(recipe->lora.targets, (std::vector<std::string>{"q_proj", "o_proj"}));
  EXPECT_EQ(recipe->privacy->noise_multiplier, 2.5);
  ExpectFault(Load("dp-lora.yaml", {"lora.rank"}), HasSubstr("--set lora.rank"));
}

TEST(Recipe, RefusesWhatIsNoRecipe) {
  ExpectFault(LoadText("- a\n- b\n"), HasSubstr("no YAML mapping"));
  ExpectFault(LoadText("a: [1\nb: 2\n"), HasSubstr("no valid YAML"));
  ExpectFault(LoadText("lora:\n  rank: 1\n  rank: 2\n"), HasSubstr("'lora.rank' stands twice"));
  ExpectFault(LoadText("a: {b: {c: {d: {e: {f: 1}}}}}\n"), HasSubstr("nested too deeply"));
  ExpectFault(LoadRecipe("/nowhere/recipe.yaml", {}), HasSubstr("/nowhere/recipe.yaml"),
              base::Code::kInvalidArgument);
}

}  // namespace
}  // namespace cloister::trainer
