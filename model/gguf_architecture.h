#pragma once

#include "base/result.h"
#include "model/architecture.h"
#include "model/gguf_file.h"

namespace cloister::model {

// The network of a GGUF file, from its llama.* keys and rope_freqs.weight. kUnimplemented naming
// another general.architecture; kDataLoss naming a missing key.
base::Result<Architecture> ArchitectureFromGguf(const GgufFile& file);

inline constexpr char kRopeFrequencies[] = "rope_freqs.weight";

// Keys beside GGUF's own, for what those cannot say; other readers pass over them.
inline constexpr char kEosIdsKey[] = "cloister.eos_token_ids";          // when there are several
inline constexpr char kRopeFactorKey[] = "cloister.rope.factor";        // of the llama3 ramp whose
inline constexpr char kRopeLowKey[] = "cloister.rope.low_freq_factor";  // divisors are in
inline constexpr char kRopeHighKey[] = "cloister.rope.high_freq_factor";  // rope_freqs.weight
inline constexpr char kRopeContextKey[] = "cloister.rope.original_context_length";

}  // namespace cloister::model
