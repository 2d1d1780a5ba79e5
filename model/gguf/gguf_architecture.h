#pragma once

#include <cstdint>

#include "base/result.h"
#include "model/architecture.h"
#include "model/gguf/gguf_file.h"
#include "model/gguf/gguf_writer.h"

namespace cloister::model {

// The network of a GGUF file, from its llama.*, qwen2.*, qwen3.* or deepseek2.* keys, its tensors'
// names and rope_freqs.weight. kUnimplemented naming another general.architecture; kDataLoss naming
// a missing key.
base::Result<Architecture> ArchitectureFromGguf(const GgufFile& file);

// Layers behind the network's own that only propose tokens (multi-token prediction).
std::int64_t ProposingLayers(const GgufFile& file);

// Adds general.architecture, the keys that llama.cpp reads of it, and kConfigKey. kUnimplemented
// for a network that llama.cpp has no architecture for.
base::Status AddNetwork(const Architecture& architecture, GgufMetadata& metadata);

// Whether the file needs rope_freqs.weight, [rotary_dim / 2], and its numbers.
bool HasRopeFrequencies(const Architecture& architecture);

inline constexpr char kRopeFrequencies[] = "rope_freqs.weight";

// expert_gating_func.
inline constexpr std::int64_t kSoftmaxGate = 1;
inline constexpr std::int64_t kSigmoidGate = 2;

// Keys beside GGUF's own, for what those cannot say; other readers pass over them.
inline constexpr char kEosIdsKey[] = "cloister.eos_token_ids";  // when there are several
inline constexpr char kConfigKey[] = "cloister.config";         // the network's config.json

}  // namespace cloister::model
