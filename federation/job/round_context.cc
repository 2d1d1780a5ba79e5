#include "federation/job/round_context.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace cloister::federation::job {

security::Sha256Digest ContextOf(const Job& job, std::uint64_t round,
                                 std::span<const std::uint8_t> parameters) {
  protocol::Writer model;
  model.String(job.model_sha256).Fixed(security::HashBytes(parameters));
  protocol::Writer quantizer;
  quantizer.String("lattice v1")
      .U64(std::bit_cast<std::uint64_t>(job.privacy.clip_norm))
      .U64(std::bit_cast<std::uint64_t>(job.privacy.spacing()));
  protocol::RoundContext context;
  context.model = security::HashBytes(model.bytes());
  context.plan = Hash(job);
  context.round = round;
  context.quantizer = security::HashBytes(quantizer.bytes());
  return protocol::HashContext(context);
}

protocol::Bytes EncodeParameters(std::span<const float> parameters) {
  static_assert(std::endian::native == std::endian::little);
  protocol::Bytes bytes(parameters.size_bytes());
  if (!bytes.empty()) std::memcpy(bytes.data(), parameters.data(), bytes.size());
  return bytes;
}

base::Result<std::vector<float>> DecodeParameters(std::span<const std::uint8_t> bytes,
                                                  std::uint64_t count) {
  if (bytes.size() % sizeof(float) != 0 || bytes.size() / sizeof(float) != count) {
    return base::Fail(base::Code::kDataLoss, "the coordinator's parameters have a wrong size");
  }
  std::vector<float> parameters(count);
  if (!bytes.empty()) std::memcpy(parameters.data(), bytes.data(), bytes.size());
  for (const float value : parameters) {
    if (!std::isfinite(value)) {
      return base::Fail(base::Code::kDataLoss,
                        "the coordinator's parameters hold a value that is not finite");
    }
  }
  return parameters;
}

}  // namespace cloister::federation::job
