#include "trainer/recipe/evaluation_section.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>

namespace cloister::trainer {
namespace {

using Path = std::optional<std::filesystem::path>;

constexpr auto kFiles = std::to_array<std::pair<const char*, Path Recipe::Evaluation::*>>({
    {"perplexity", &Recipe::Evaluation::perplexity},
    {"multiple_choice", &Recipe::Evaluation::multiple_choice},
    {"exact_match", &Recipe::Evaluation::exact_match},
});

const YAML::Node* Find(const FlatRecipe& flat, const std::string& path) {
  const auto found = flat.find(path);
  return found == flat.end() ? nullptr : &found->second;
}

}  // namespace

base::Status ReadEvaluation(const FlatRecipe& flat, Recipe& recipe) {
  if (const YAML::Node* license = Find(flat, "data.license")) {
    recipe.data.license = license->as<std::string>();
  }
  if (const YAML::Node* consent = Find(flat, "data.eval_consent")) {
    const std::string name = consent->as<std::string>();
    const auto* const found =
        std::find(kConsentNames.begin(), kConsentNames.end(), std::string_view(name));
    if (found == kConsentNames.end()) {
      return base::Fail(base::Code::kInvalidArgument,
                        "'data.eval_consent' is '" + name + "': write public or consented");
    }
    recipe.data.eval_consent = static_cast<Recipe::Consent>(found - kConsentNames.begin());
  }
  const auto from = flat.lower_bound("evaluation.");
  if (from == flat.end() || !from->first.starts_with("evaluation.")) return {};
  Recipe::Evaluation& evaluation = recipe.evaluation.emplace();
  bool any = false;
  for (const auto& [name, member] : kFiles) {
    const YAML::Node* const value = Find(flat, std::string("evaluation.") + name);
    if (value == nullptr) continue;
    evaluation.*member = value->as<std::string>();
    any = true;
  }
  if (!any) {
    return base::Fail(base::Code::kInvalidArgument,
                      "'evaluation' names no file: give one of perplexity, multiple_choice and "
                      "exact_match");
  }
  const auto number = [&](const char* path, std::int64_t& to) {
    if (const YAML::Node* value = Find(flat, path)) to = value->as<std::int64_t>();
  };
  number("evaluation.rows", evaluation.rows);
  number("evaluation.max_new_tokens", evaluation.max_new_tokens);
  return {};
}

void WriteEvaluation(const Recipe& recipe, YAML::Node& root) {
  YAML::Node data = root["data"];
  if (recipe.data.license) data["license"] = *recipe.data.license;
  if (recipe.data.eval_consent) {
    data["eval_consent"] =
        std::string(kConsentNames[static_cast<std::size_t>(*recipe.data.eval_consent)]);
  }
  if (!recipe.evaluation) return;
  YAML::Node evaluation = root["evaluation"];
  for (const auto& [name, member] : kFiles) {
    const Path& path = *recipe.evaluation.*member;
    if (path) evaluation[name] = path->string();
  }
  evaluation["rows"] = recipe.evaluation->rows;
  evaluation["max_new_tokens"] = recipe.evaluation->max_new_tokens;
}

}  // namespace cloister::trainer
