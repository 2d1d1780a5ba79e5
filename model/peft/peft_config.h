#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace cloister::model {

// Names of modules in a PEFT config: a list of names or of their ends, or one expression.
struct ModuleNames {
  std::vector<std::string> names;
  std::string expression;  // where `names` is empty

  bool empty() const { return names.empty() && expression.empty(); }
};

// The fields of an adapter_config.json (peft.LoraConfig) that say what a LoRA adapter does.
struct PeftConfig {
  std::int64_t rank = 0;
  double alpha = 0;
  bool rank_stabilized = false;
  ModuleNames targets;
  bool all_linear = false;  // in place of targets: every linear layer but the head
  // Parameters, by their names or the ends of them, that are changed without being linear layers:
  // target_parameters, which is also how PEFT names stacks of experts.
  std::vector<std::string> parameters;
  ModuleNames excluded;
  std::vector<std::int64_t> layers;  // layers_to_transform; empty: all
  // Expressions over the ends of module names, sorted, as PEFT writes them: the first that matches
  // holds.
  std::vector<std::pair<std::string, std::int64_t>> rank_pattern;
  std::vector<std::pair<std::string, double>> alpha_pattern;
  std::vector<std::string> modules_to_save;  // replaced whole
  bool ensure_weight_tying = false;          // a replaced embedding is the head of a tied model too
};

// kDataLoss, naming the field, for one that is missing or malformed; kUnimplemented for other
// methods than LoRA, for variants that change what the matrices mean (DoRA, trained biases, …), and
// for fields that nobody here knows.
base::Result<PeftConfig> ReadPeftConfig(const nlohmann::json& config);

}  // namespace cloister::model
