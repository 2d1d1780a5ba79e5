#include "model/peft/peft_candidates.h"

#include <regex>

#include "model/adapter.h"

namespace cloister::model {

std::vector<PeftCandidate> PeftCandidates(const Architecture& a) {
  std::vector<PeftCandidate> all;
  for (std::int64_t layer = 0; layer < a.num_layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    for (const LinearModule& module : LinearModules(a, layer)) {
      all.push_back({prefix + module.name, layer, module.out, module.in});
    }
    if (a.has_experts(layer)) {
      all.push_back({prefix + "mlp.gate", layer, a.experts->count, a.hidden_size, false});
    }
  }
  all.push_back({"lm_head", std::nullopt, a.vocab_size, a.hidden_size, false});
  all.push_back({"model.embed_tokens", std::nullopt, a.vocab_size, a.hidden_size, false});
  return all;
}

std::optional<PeftCandidate> PeftExpertCandidate(const Architecture& a, const std::string& module) {
  static const std::regex kName(
      "model\\.layers\\.([0-9]{1,5})\\.mlp\\.experts\\.([0-9]{1,6})\\.(gate|up|down)_proj");
  std::smatch parts;
  if (module.size() > 64 || !std::regex_match(module, parts, kName)) return std::nullopt;
  const std::int64_t layer = std::stoll(parts[1]), expert = std::stoll(parts[2]);
  if (layer >= a.num_layers || !a.has_experts(layer) || expert >= a.experts->count) {
    return std::nullopt;
  }
  const std::int64_t size = a.experts->intermediate_size;
  const bool down = parts[3] == "down";
  return PeftCandidate{module, layer, down ? a.hidden_size : size, down ? size : a.hidden_size};
}

}  // namespace cloister::model
