#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"

namespace cloister::kernels::cpu {

// Instruction sets that kernels are written for, in rising order. A tier needs all of its features:
// kAvx2 is AVX2, FMA and F16C together.
enum class Tier { kScalar, kAvx2 };

std::string_view TierName(Tier tier);  // "scalar", "avx2": the spellings of --kernels
// kInvalidArgument, listing the tiers, for any other name.
base::Result<Tier> ParseTier(std::string_view name);

// Whether this processor, and the operating system's saved state, can run `tier`.
bool Supported(Tier tier);
std::vector<Tier> SupportedTiers();
Tier BestTier();

}  // namespace cloister::kernels::cpu
