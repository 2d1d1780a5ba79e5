// adapter_config.json: any bytes are read to a PEFT config or refused, and what is read says of
// every module of a network, in bounded time, whether it is meant.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/check.h"
#include "model/architecture.h"
#include "model/peft/peft_candidates.h"
#include "model/peft/peft_config.h"
#include "model/peft/peft_modules.h"

namespace {

namespace model = cloister::model;

std::vector<model::PeftCandidate> Candidates() {
  model::Architecture a;
  a.num_layers = 2;
  a.hidden_size = 8;
  a.intermediate_size = 16;
  a.num_heads = a.num_kv_heads = 2;
  a.head_dim = 4;
  a.vocab_size = 32;
  return model::PeftCandidates(a);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<model::PeftCandidate> candidates = Candidates();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const nlohmann::json fields = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!fields.is_object()) return 0;
  const auto config = model::ReadPeftConfig(fields);
  if (!config) return 0;
  const auto modules = model::PeftModules::Make(*config);
  if (!modules) return 0;
  for (const model::PeftCandidate& candidate : candidates) {
    const auto target = modules->IsTarget(candidate.name, candidate.layer, candidate.linear);
    if (!target || !*target) continue;
    const auto rank = modules->RankOf(candidate.name);
    if (rank) CLOISTER_CHECK(*rank >= 1);
    const auto scale = modules->ScaleOf(candidate.name);
    if (scale) CLOISTER_CHECK(*scale > 0);
    modules->IsSaved(candidate.name + ".weight");
  }
  return 0;
}
