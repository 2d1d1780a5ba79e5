#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/architecture.h"

namespace cloister::model {

// A module with a weight [out, in] that a PEFT adapter may change.
struct PeftCandidate {
  std::string name;
  std::optional<std::int64_t> layer;  // of the decoder layer that it is part of
  std::int64_t out = 0, in = 0;
  bool linear = true;  // to PEFT's "all-linear"
};

// The linear layers, routers, embedding and head of a network; without the routed experts, which
// transformers since version 5 holds as stacks.
std::vector<PeftCandidate> PeftCandidates(const Architecture& architecture);

// One projection of one routed expert, a module of its own in DeepSeek's code and in transformers
// before version 5: model.layers.N.mlp.experts.I.gate_proj. None where the name is no such.
std::optional<PeftCandidate> PeftExpertCandidate(const Architecture& architecture,
                                                 const std::string& module);

}  // namespace cloister::model
