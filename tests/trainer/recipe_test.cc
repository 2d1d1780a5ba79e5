#include "trainer/recipe/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>

#include "tests/trainer/recipe_case.h"
#include "trainer/recipe/schema.h"

namespace cloister::trainer {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(Recipe, ThoseInConfigsLoadAndReadBackResolved) {
  for (const char* name :
       {"dp-lora.yaml", "lora.yaml", "dp-matrix-factorization.yaml", "dp-full.yaml", "full.yaml"}) {
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
           {"lora.targets=[[v_proj]]", "lora.targets"},
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

// Each gives one error, which names the key: none of these is ever taken for something else.
TEST(Recipe, EveryPrivacyParameterIsRefusedWhereItMakesNoSense) {
  struct Case {
    const char* recipe;
    std::string key;
    std::vector<std::string> more = {};  // values that are wrong beside those below
  };
  const std::string adaptive = "privacy.adaptive.";
  const std::vector<Case> numbers = {{"dp-lora.yaml", "privacy.noise_multiplier", {"0", "20000"}},
                                     {"dp-lora.yaml", "privacy.target_epsilon", {"0", "20000"}},
                                     {"dp-lora.yaml", "privacy.delta", {"0", "0.6", "1"}},
                                     {"dp-lora.yaml", "privacy.clip_norm", {"0", "1e10", "1e-320"}},
                                     {"dp-lora.yaml", "privacy.stability", {"0"}},
                                     {"dp-lora.yaml", "privacy.sampling_rate", {"0", "1.5"}},
                                     {"dp-lora.yaml", "privacy.nominal_units", {"0", "0.5"}},
                                     {"dp-lora.yaml", "privacy.nominal_tokens", {"0", "0.5"}},
                                     {"dp-lora.yaml", "privacy.budget_epsilon", {"0", "20000"}},
                                     {"dp-lora.yaml", "privacy.budget_delta", {"0", "1"}},
                                     {"dp-lora.yaml", adaptive + "quantile", {"0", "1.5"}},
                                     {"dp-lora.yaml", adaptive + "rate", {"0", "11"}},
                                     {"dp-lora.yaml", adaptive + "count_noise_multiplier", {"0"}},
                                     {kMatrix, "privacy.noise_multiplier", {"0", "20000"}},
                                     {kMatrix, "privacy.bands", {"0", "1.5", "1025"}},
                                     {kMatrix, "privacy.min_separation", {"0", "1.5"}},
                                     {kMatrix, "privacy.max_participations", {"0", "1.5"}},
                                     {kMatrix, "training.batch_size", {"0", "1.5"}}};
  for (const Case& one : numbers) {
    std::vector<std::string> values = {"-1",  "-.inf", ".inf", ".nan", "much",
                                       "[1]", "true",  "''",   "1e999"};
    values.insert(values.end(), one.more.begin(), one.more.end());
    for (const std::string& value : values) {
      SCOPED_TRACE(one.key + "=" + value);
      ExpectFault(Load(one.recipe, {one.key + "=" + value}),
                  HasSubstr("'" + one.key + "' must be"));
    }
  }
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, std::string>>{{"privacy.unit", "person"},
                                                        {"privacy.unit", "[record]"},
                                                        {"privacy.unit", "''"},
                                                        {"privacy.neighbours", "any"},
                                                        {"privacy.mechanism", "laplace"},
                                                        {"privacy.mechanism", "[gaussian]"},
                                                        {"privacy.clipping", "none"},
                                                        {"privacy.allow_large_delta", "perhaps"},
                                                        {"privacy.ledger", "''"}}) {
    SCOPED_TRACE(key + "=" + value);
    const auto recipe = Load("dp-lora.yaml", {key + "=" + value});
    ExpectFault(recipe, HasSubstr("'" + key + "'"));
    // One error and no other that follows from it.
    EXPECT_THAT(recipe.error().message, testing::Not(HasSubstr(";")));
  }
}

TEST(Recipe, TrainsEitherAnAdapterOrAllWeights) {
  for (const char* name : {"full.yaml", "dp-full.yaml"}) EXPECT_FALSE(Load(name, {})->lora) << name;
  EXPECT_TRUE(Load("lora.yaml", {})->lora);
  // Exactly one of the two, and the error names both.
  ExpectFault(Load("full.yaml", {"lora={rank: 1, alpha: 1, targets: [q_proj]}"}),
              HasSubstr("'lora' and 'method: full' may not stand together"));
  ExpectFault(Load("full.yaml", {"method=null"}), HasSubstr("'lora' or 'method: full' is missing"));
  ExpectFault(Load("lora.yaml", {"lora=null"}), HasSubstr("'lora' or 'method: full' is missing"));
  const auto changed = Load("lora.yaml", {"lora=null", "method=full"});
  ASSERT_TRUE(changed) << changed.error().message;
  EXPECT_FALSE(changed->lora);
  ExpectFault(Load("lora.yaml", {"lora=null", "method=lora"}), HasSubstr("'lora' is missing"));
  for (const char* method : {"method=dora", "method=Full", "method=[full]", "method=1"}) {
    ExpectFault(Load("lora.yaml", {"lora=null", method}), HasSubstr("'method' must be"));
  }
  ExpectFault(Load("full.yaml", {"methods=full"}), HasSubstr("nearest is 'method'"));
  // A section without its keys is an adapter's all the same.
  ExpectFault(Load("lora.yaml", {"lora.rank=null"}), HasSubstr("'lora.rank' is missing"));
  ExpectFault(Load("full.yaml", {"method=null", "lora.rank=2"}),
              AllOf(HasSubstr("'lora.alpha' is missing"), HasSubstr("'lora.targets' is missing")));
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

TEST(Recipe, PlainGradientsMayBeShortened) {
  EXPECT_FALSE(Load("lora.yaml", {})->training.max_grad_norm);
  const auto recipe = Load("lora.yaml", {"training.max_grad_norm=0.5"});
  ASSERT_TRUE(recipe) << recipe.error().message;
  EXPECT_EQ(recipe->training.max_grad_norm, 0.5);
  EXPECT_EQ(LoadText(ToYaml(*recipe))->training.max_grad_norm, 0.5);
  for (const std::string norm : {"0", "-1", "nan", "inf"}) {
    ExpectFault(Load("lora.yaml", {"training.max_grad_norm=" + norm}), HasSubstr("max_grad_norm"));
  }
  ExpectFault(Load("dp-lora.yaml", {"training.max_grad_norm=1"}), HasSubstr("privacy.clip_norm"));
}

TEST(Recipe, DeviceIsTheCpuUnlessARecipeSaysOtherwise) {
  EXPECT_EQ(Load("lora.yaml", {})->training.compute.device, "cpu");
  for (const std::string device : {"cuda", "cuda:0", "cuda:12"}) {
    const auto recipe = Load("lora.yaml", {"training.device=" + device});
    ASSERT_TRUE(recipe) << recipe.error().message;
    EXPECT_EQ(recipe->training.compute.device, device);
    EXPECT_EQ(LoadText(ToYaml(*recipe))->training.compute.device, device);
  }
  for (const std::string device : {"gpu", "cuda:-1", "cuda:100", "meta", "CUDA"}) {
    ExpectFault(Load("lora.yaml", {"training.device=" + device}), HasSubstr("'training.device'"));
  }
  ExpectFault(Load("full.yaml", {"training.device=cuda", "training.shard_parameters=true"}),
              HasSubstr("'training.shard_parameters'"));
}

TEST(Recipe, SaysWhatIsNotBuilt) {
  for (const std::string relation : {"add", "remove", "replace-one"}) {
    ExpectFault(Load("dp-lora.yaml", {"privacy.neighbours=" + relation}),
                HasSubstr("privacy.neighbours"), base::Code::kUnimplemented);
  }
}

TEST(Recipe, MatrixFactorizationAndZeroOutStandTogetherAlone) {
  const auto recipe = Load(kMatrix, {});
  ASSERT_TRUE(recipe) << recipe.error().message;
  ASSERT_TRUE(recipe->privacy->matrix);
  EXPECT_EQ(recipe->privacy->matrix->bands, 10);
  EXPECT_EQ(recipe->privacy->neighbours, dp::Neighbours::kZeroOut);
  const auto again = LoadText(ToYaml(*recipe));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->privacy->matrix->min_separation, 10);
  EXPECT_EQ(again->privacy->matrix->max_participations, 2);
  EXPECT_EQ(again->training.batch_size, 60);

  ExpectFault(
      Load(kMatrix, {"privacy.neighbours=add-or-remove-one"}),
      AllOf(HasSubstr("'privacy.neighbours' is add-or-remove-one"), HasSubstr("write zero-out")));
  ExpectFault(Load("dp-lora.yaml", {"privacy.neighbours=zero-out"}),
              AllOf(HasSubstr("'privacy.neighbours' zero-out"), HasSubstr("matrix-factorization")));
  ExpectFault(Load(kMatrix, {"privacy.mechanism=matrix"}),
              HasSubstr("write gaussian or matrix-factorization"));
  EXPECT_TRUE(Load("dp-lora.yaml", {"privacy.mechanism=gaussian"}));
}

TEST(Recipe, EachMechanismTakesItsOwnKeysAlone) {
  for (const std::string key : {"privacy.bands", "privacy.min_separation",
                                "privacy.max_participations", "training.batch_size"}) {
    ExpectFault(Load(kMatrix, {key + "=null"}), HasSubstr("'" + key + "' is missing"));
    ExpectFault(Load("dp-lora.yaml", {key + "=1"}), HasSubstr("'" + key + "'"));
  }
  for (const std::string key :
       {"delta", "clip_norm", "unit", "neighbours", "nominal_units", "ledger", "budget_epsilon"}) {
    ExpectFault(Load(kMatrix, {"privacy." + key + "=null"}),
                HasSubstr("'privacy." + key + "' is missing"));
  }
  ExpectFault(Load(kMatrix, {"privacy.sampling_rate=0.1"}), HasSubstr("nothing is sampled"));
  ExpectFault(Load(kMatrix, {"privacy.adaptive={quantile: 0.5, rate: 0.2, "
                             "count_noise_multiplier: 5}"}),
              HasSubstr("'privacy.adaptive' may not stand"));
  // The other ways to clip bound a unit's contribution as well.
  EXPECT_TRUE(Load(kMatrix, {"privacy.clipping=per-layer"}));
  EXPECT_TRUE(Load(kMatrix, {"privacy.clipping=automatic", "privacy.stability=0.01"}));
  EXPECT_TRUE(Load(kMatrix, {"privacy.unit=user"}));
}

// 600 units in batches of 60, 20 steps: each takes part twice, ten steps apart.
TEST(Recipe, AScheduleThatIsNotAccountedForIsToldWhatWouldBeConsistent) {
  for (const auto& [key, value, mend] : std::vector<std::array<std::string, 3>>{
           {"privacy.bands", "11", "at most 10 bands"},
           {"privacy.min_separation", "11", "at most 10, or a smaller batch"},
           {"training.batch_size", "61", "at most 9, or a smaller batch"},
           {"training.batch_size", "601", "at most 600"},
           {"privacy.nominal_units", "599", "at most 9, or a smaller batch"},
           {"privacy.max_participations", "1", "at least 2, or a training.steps of at most 10"},
           {"training.steps", "21", "at least 3, or a training.steps of at most 20"},
           {"training.steps", "9", "at most 9"},
           {"training.steps", "2000000", "at most so many"}}) {
    ExpectFault(Load(kMatrix, {key + "=" + value}), HasSubstr(mend));
  }
  ExpectFault(Load(kMatrix, {"privacy.bands=9", "privacy.min_separation=8"}),
              AllOf(HasSubstr("at most 8 bands"), HasSubstr("separation of up to 10")));
  // What is worse than the loader does is accounted for all the same.
  EXPECT_TRUE(Load(
      kMatrix, {"privacy.bands=4", "privacy.min_separation=4", "privacy.max_participations=5"}));
  EXPECT_TRUE(Load(kMatrix, {"training.steps=10", "privacy.max_participations=1"}));
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
  EXPECT_TRUE(Load("dp-lora.yaml", {adaptive, "privacy.noise_multiplier=null"}));
}

TEST(Recipe, DeltaOfOneOverTheUnitsIsRefusedUnlessForced) {
  ExpectFault(Load("dp-lora.yaml", {"privacy.delta=0.002"}),  // of 600 units
              AllOf(HasSubstr("'privacy.delta'"), HasSubstr("to 0.00165 or less")));
  ExpectFault(Load("dp-lora.yaml", {"privacy.nominal_units=1000000000"}),
              HasSubstr("to 9.9e-10 or less"));
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
  EXPECT_EQ(recipe->lora->rank, 3);
  EXPECT_EQ(recipe->lora->targets, (std::vector<std::string>{"q_proj", "o_proj"}));
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
