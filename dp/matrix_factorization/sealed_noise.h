#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "security/secret_bytes.h"

namespace cloister::dp {

// What a sealed noise state belongs to: the job of its spend, and the step that it ends with.
struct NoiseStateContext {
  std::string job;
  std::int64_t step = 0;
};

// A state of CorrelatedNoise (Serialize, SerializeLastRow) as it may lie on a disk: with the
// released sums its rows give away the sums, so nobody without `key` (32 bytes, the checkpoint's)
// may read them, nor change them or pass them off as another job's or step's. AES-256-GCM under a
// key of its own for each state, by HKDF from `key` and 32 fresh random bytes that stand before it.
std::vector<std::uint8_t> SealNoiseState(const security::SecretBytes& state,
                                         const NoiseStateContext& context,
                                         const security::SecretBytes& key);
// kDataLoss for another key or context, and for bytes that were cut off or altered.
base::Result<security::SecretBytes> OpenNoiseState(std::span<const std::uint8_t> sealed,
                                                   const NoiseStateContext& context,
                                                   const security::SecretBytes& key);

}  // namespace cloister::dp
