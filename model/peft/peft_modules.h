#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/peft/module_pattern.h"
#include "model/peft/peft_config.h"

namespace cloister::model {

// Which modules a PEFT config means, by the rules of peft.tuners.tuners_utils. Modules have the
// names that the adapted model gives them (model.layers.0.self_attn.q_proj, lm_head).
class PeftModules {
 public:
  // kDataLoss, naming the field, for a broken expression.
  static base::Result<PeftModules> Make(const PeftConfig& config);

  // Whether LoRA sits on a module of that name; `layer` is the decoder layer that it is part of.
  // `linear` says that "all-linear" means it.
  base::Result<bool> IsTarget(const std::string& module, std::optional<std::int64_t> layer,
                              bool linear) const;
  // Whether target_parameters names the parameter.
  bool IsTargetParameter(const std::string& parameter) const;
  // Of a module, or of a parameter that is a target by itself.
  base::Result<std::int64_t> RankOf(const std::string& name) const;
  // What B A is multiplied by.
  base::Result<double> ScaleOf(const std::string& name) const;
  // Whether the parameter belongs to a module that modules_to_save names.
  bool IsSaved(const std::string& parameter) const;

 private:
  template <typename T>
  using Pattern = std::vector<std::pair<ModulePattern, T>>;

  explicit PeftModules(PeftConfig config) : config_(std::move(config)) {}

  PeftConfig config_;
  std::optional<ModulePattern> targets_, excluded_;
  Pattern<std::int64_t> ranks_;
  Pattern<double> alphas_;
};

}  // namespace cloister::model
