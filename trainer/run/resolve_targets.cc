#include "trainer/run/resolve_targets.h"

#include <utility>

#include "model/model_files.h"
#include "model/peft/lora_targets.h"

namespace cloister::trainer {

base::Result<Recipe> ResolveTargets(const Recipe& recipe) {
  if (!recipe.lora || recipe.lora_pattern.empty()) return recipe;
  CLOISTER_ASSIGN_OR_RETURN(const auto files, model::ModelFiles::Open(recipe.model));
  CLOISTER_ASSIGN_OR_RETURN(const model::Architecture architecture, files->architecture());
  auto lora = model::WithTargetsOf(recipe.lora_pattern, *recipe.lora, architecture);
  if (!lora) return base::Annotate(std::move(lora), "'lora.targets'");
  Recipe resolved = recipe;
  resolved.lora = *std::move(lora);
  resolved.lora_pattern.clear();
  return resolved;
}

}  // namespace cloister::trainer
