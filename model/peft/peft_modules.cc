#include "model/peft/peft_modules.h"

#include <algorithm>
#include <cmath>

namespace cloister::model {
namespace {

template <typename T>
base::Result<std::vector<std::pair<ModulePattern, T>>> Compile(
    const char* field, const std::vector<std::pair<std::string, T>>& pattern) {
  std::vector<std::pair<ModulePattern, T>> compiled;
  for (const auto& [key, value] : pattern) {
    base::Result<ModulePattern> made = ModulePattern::Make("(?:.*\\.)?(?:" + key + ")");
    if (!made) return base::Annotate(std::move(made), field);
    compiled.emplace_back(std::move(*made), value);
  }
  return compiled;
}

base::Result<std::optional<ModulePattern>> Compile(const char* field, const ModuleNames& modules) {
  if (modules.expression.empty()) return std::optional<ModulePattern>();
  base::Result<ModulePattern> made = ModulePattern::Make(modules.expression);
  if (!made) return base::Annotate(std::move(made), field);
  return std::optional<ModulePattern>(std::move(*made));
}

// The first match's value.
template <typename T>
base::Result<T> Find(const std::vector<std::pair<ModulePattern, T>>& pattern,
                     const std::string& module, T otherwise) {
  for (const auto& [key, value] : pattern) {
    CLOISTER_ASSIGN_OR_RETURN(const bool matches, key.Matches(module));
    if (matches) return value;
  }
  return otherwise;
}

bool Listed(const std::vector<std::string>& names, const std::string& module) {
  return std::find(names.begin(), names.end(), module) != names.end();
}

bool EndListed(const std::vector<std::string>& names, const std::string& module) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return module.ends_with("." + name); });
}

}  // namespace

base::Result<PeftModules> PeftModules::Make(const PeftConfig& config) {
  PeftModules modules(config);
  CLOISTER_ASSIGN_OR_RETURN(modules.targets_, Compile("target_modules", config.targets));
  CLOISTER_ASSIGN_OR_RETURN(modules.excluded_, Compile("exclude_modules", config.excluded));
  CLOISTER_ASSIGN_OR_RETURN(modules.ranks_, Compile("rank_pattern", config.rank_pattern));
  CLOISTER_ASSIGN_OR_RETURN(modules.alphas_, Compile("alpha_pattern", config.alpha_pattern));
  return modules;
}

base::Result<bool> PeftModules::IsTarget(const std::string& module,
                                         std::optional<std::int64_t> layer, bool linear) const {
  if (excluded_) {
    CLOISTER_ASSIGN_OR_RETURN(const bool excluded, excluded_->Matches(module));
    if (excluded) return false;
  }
  if (Listed(config_.excluded.names, module) || EndListed(config_.excluded.names, module)) {
    return false;
  }
  const std::string dotted = "." + module + ".";
  for (const std::string& saved : config_.modules_to_save) {
    if (dotted.find("." + saved + ".") != std::string::npos) return false;
  }
  if (config_.all_linear && !linear) return false;
  if (targets_) return targets_->Matches(module);
  if (Listed(config_.targets.names, module)) return true;  // wherever the layer is
  if (!config_.all_linear && !EndListed(config_.targets.names, module)) return false;
  if (config_.layers.empty()) return true;
  return layer &&
         std::find(config_.layers.begin(), config_.layers.end(), *layer) != config_.layers.end();
}

bool PeftModules::IsTargetParameter(const std::string& parameter) const {
  return Listed(config_.parameters, parameter) || EndListed(config_.parameters, parameter);
}

base::Result<std::int64_t> PeftModules::RankOf(const std::string& name) const {
  return Find(ranks_, name, config_.rank);
}

base::Result<double> PeftModules::ScaleOf(const std::string& name) const {
  CLOISTER_ASSIGN_OR_RETURN(const std::int64_t rank, RankOf(name));
  CLOISTER_ASSIGN_OR_RETURN(const double alpha, Find(alphas_, name, config_.alpha));
  const auto size = static_cast<double>(rank);
  return alpha / (config_.rank_stabilized ? std::sqrt(size) : size);
}

bool PeftModules::IsSaved(const std::string& parameter) const {
  // Every module above the parameter, by its whole path, may be named by its end.
  for (std::size_t dot = parameter.rfind('.'); dot != std::string::npos && dot > 0;
       dot = parameter.rfind('.', dot - 1)) {
    const std::string module = parameter.substr(0, dot);
    for (const std::string& saved : config_.modules_to_save) {
      if (module.ends_with(saved)) return true;
    }
  }
  return false;
}

}  // namespace cloister::model
