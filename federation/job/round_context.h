#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "federation/job/job.h"
#include "federation/protocol/encoding.h"
#include "security/primitives.h"

namespace cloister::federation::job {

// Hash of everything that a site trains on in a round and that the coordinator also has: base
// model, parameters sent, plan, round, quantizer. Pairwise masks are bound to it: a coordinator
// that shows sites different models gets noise.
security::Sha256Digest ContextOf(const Job& job, std::uint64_t round,
                                 std::span<const std::uint8_t> parameters);

// Parameters as they travel: fp32, little-endian.
protocol::Bytes EncodeParameters(std::span<const float> parameters);
// kDataLoss unless `bytes` are exactly `count` finite numbers.
base::Result<std::vector<float>> DecodeParameters(std::span<const std::uint8_t> bytes,
                                                  std::uint64_t count);

}  // namespace cloister::federation::job
