#include "dp/mechanism/box_muller_tiers.h"

#include "base/check.h"

namespace cloister::dp {

std::string_view SamplerTierName(SamplerTier tier) {
  switch (tier) {
    case SamplerTier::kSse2:
      return "sse2";
    case SamplerTier::kAvx2:
      return "avx2";
    case SamplerTier::kAvx512:
      return "avx512";
  }
  return "unknown";
}

std::vector<SamplerTier> SupportedSamplerTiers() {
  // The compiler's run-time test includes the operating system's (XGETBV).
  std::vector<SamplerTier> tiers = {SamplerTier::kSse2};
  if (__builtin_cpu_supports("avx2")) tiers.push_back(SamplerTier::kAvx2);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) {
    tiers.push_back(SamplerTier::kAvx512);
  }
  return tiers;
}

DecideBlocks BlocksOf(SamplerTier tier) {
  switch (tier) {
    case SamplerTier::kSse2:
      return &DecideBlocksSse2;
    case SamplerTier::kAvx2:
      return &DecideBlocksAvx2;
    case SamplerTier::kAvx512:
      return &DecideBlocksAvx512;
  }
  base::CheckFailed(__FILE__, __LINE__, "a tier without a sampler");
}

}  // namespace cloister::dp
