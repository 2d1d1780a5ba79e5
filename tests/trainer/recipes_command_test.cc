// Every recipe of configs/ runs as it stands, on a tiny model in place of the one that it names,
// and leaves what it says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dp/accounting/accountant.h"
#include "dp/ledger/ledger.h"
#include "tests/trainer/tiny_chat_model.h"
#include "tests/trainer/train_command_case.h"
#include "trainer/recipe/recipe.h"

namespace cloister::cli {
namespace {

namespace fs = std::filesystem;

fs::path Configs() { return fs::path(CLOISTER_TEST_DATA) / "../../configs"; }

std::vector<std::string> RecipeNames() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(Configs())) {
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class EveryRecipe : public TrainCommand, public testing::WithParamInterface<std::string> {};

TEST_P(EveryRecipe, RunsAndLeavesWhatItSays) {
  model_ = folder_ / "tiny";
  trainer::WriteTinyChatModel(model_);
  const fs::path path = Configs() / (GetParam() + ".yaml");
  const auto recipe = trainer::LoadRecipe(path, {});
  ASSERT_TRUE(recipe) << recipe.error().message;
  // A recipe whose steps the target cuts is run to its end: that is what it is about.
  const bool cut = recipe->privacy && recipe->privacy->noise_multiplier &&
                   recipe->privacy->target_epsilon && recipe->training.steps >= 100;
  const std::vector<std::string> own = {
      "data.train=" + (Root() / recipe->data.train).string(),
      "data.eval=" + (Root() / recipe->data.eval.value()).string(),
      "data.max_tokens=64",
      "lora.first_layer=0",
      "privacy.nominal_units=" +
          std::to_string(recipe->privacy ? recipe->privacy->nominal_units : 1),
      "training.steps=" + std::to_string(cut ? recipe->training.steps
                                             : std::min<std::int64_t>(10, recipe->training.steps))};
  std::vector<std::string> overrides;
  for (const std::string& one : own) {
    if (one.starts_with("lora.") && !recipe->lora) continue;
    if (one.starts_with("privacy.") && !recipe->privacy) continue;
    overrides.push_back(one);
  }
  if (recipe->checkpoints) {
    overrides.push_back("checkpoints.folder=" + (folder_ / "kept").string());
  }
  const Outcome outcome = Run(GetParam() + ".yaml", overrides);
  ASSERT_EQ(outcome.status, 0) << outcome.error;

  EXPECT_TRUE(
      fs::exists(output() / (recipe->lora ? "adapter_model.safetensors" : "model.safetensors")));
  EXPECT_TRUE(fs::exists(output() / "events.jsonl"));
  const auto resolved = trainer::LoadRecipe(output() / "recipe.yaml", {});
  EXPECT_TRUE(resolved) << resolved.error().message;
  const nlohmann::json& done = outcome.events.back();
  ASSERT_EQ(done["event"], "done");
  if (!recipe->privacy) {
    EXPECT_TRUE(done["epsilon"].is_null());
    return;
  }
  // What is printed is what the ledger's rows come to.
  const auto rows = dp::Ledger::OpenReadOnly(folder_ / "ledger.sqlite").value()->Rows().value();
  std::vector<dp::Event> events;
  for (const auto& row : rows) events.push_back(row.spend.event);
  const double epsilon = done["epsilon"].get<double>();
  EXPECT_NEAR(dp::PlanEpsilon(events, recipe->privacy->delta).value(), epsilon, 1e-3 * epsilon);
  if (recipe->privacy->target_epsilon) {
    EXPECT_LE(epsilon, *recipe->privacy->target_epsilon);
  }
  if (cut) {
    EXPECT_GT(epsilon, 0.995 * *recipe->privacy->target_epsilon);
    EXPECT_LT(done["steps"].get<std::int64_t>(), done["planned_steps"].get<std::int64_t>());
  }
}

INSTANTIATE_TEST_SUITE_P(Configs, EveryRecipe, testing::ValuesIn(RecipeNames()),
                         [](const auto& recipe) {
                           std::string name = recipe.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace cloister::cli
