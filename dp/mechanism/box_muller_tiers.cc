#include "dp/mechanism/box_muller_tiers.h"

#include "base/check.h"
#include "dp/mechanism/box_muller_scalar.h"

namespace cloister::dp {
namespace {

void DecideBlocksScalar(double sigma, const std::uint64_t* words, std::size_t blocks,
                        std::int64_t* samples, std::uint8_t* undecided) {
  DecideBlocksLanes<ScalarLanes>(sigma, words, blocks, samples, undecided);
}

}  // namespace

std::string_view SamplerTierName(SamplerTier tier) {
  switch (tier) {
    case SamplerTier::kScalar:
      return "scalar";
    case SamplerTier::kAvx2:
      return "avx2";
    case SamplerTier::kAvx512:
      return "avx512";
  }
  return "unknown";
}

std::vector<SamplerTier> SupportedSamplerTiers() {
  // The compiler's run-time test includes the operating system's (XGETBV).
  std::vector<SamplerTier> tiers = {SamplerTier::kScalar};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    tiers.push_back(SamplerTier::kAvx2);
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) {
    tiers.push_back(SamplerTier::kAvx512);
  }
  return tiers;
}

DecideBlocks BlocksOf(SamplerTier tier) {
  switch (tier) {
    case SamplerTier::kScalar:
      return &DecideBlocksScalar;
    case SamplerTier::kAvx2:
      return &DecideBlocksAvx2;
    case SamplerTier::kAvx512:
      return &DecideBlocksAvx512;
  }
  base::CheckFailed(__FILE__, __LINE__, "a tier without a sampler");
}

}  // namespace cloister::dp
