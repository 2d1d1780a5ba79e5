#include <cpuid.h>

#include <string>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/tables.h"
#include "kernels/cpu/tier.h"

namespace cloister::kernels::cpu {
namespace {

constexpr Tier kTiers[] = {Tier::kScalar, Tier::kAvx2};

}  // namespace

std::string_view TierName(Tier tier) {
  switch (tier) {
    case Tier::kScalar:
      return "scalar";
    case Tier::kAvx2:
      return "avx2";
  }
  return "unknown";
}

base::Result<Tier> ParseTier(std::string_view name) {
  std::string known;
  for (const Tier tier : kTiers) {
    if (TierName(tier) == name) return tier;
    known += (known.empty() ? "" : ", ") + std::string(TierName(tier));
  }
  return base::Fail(base::Code::kInvalidArgument,
                    "no kernels are named '" + std::string(name) + "': choose one of " + known);
}

namespace {

// CPUID leaf 1, ECX bit 29: not every compiler's run-time test knows the name. The operating system
// saves the same registers as for AVX2.
bool HasF16c() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

}  // namespace

bool Supported(Tier tier) {
  switch (tier) {
    case Tier::kScalar:
      return true;
    case Tier::kAvx2:
      // The compiler's run-time test includes the operating system's (XGETBV).
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && HasF16c();
  }
  return false;
}

std::vector<Tier> SupportedTiers() {
  std::vector<Tier> supported;
  for (const Tier tier : kTiers) {
    if (Supported(tier)) supported.push_back(tier);
  }
  return supported;
}

Tier BestTier() { return SupportedTiers().back(); }

ActivationForm FormFor(model::DataType weights) {
  switch (model::BlockSize(weights)) {
    case kActivationBlock:
      return ActivationForm::kBlocks;
    case kSuperBlock:
      return ActivationForm::kSuperBlocks;
    default:
      return ActivationForm::kFloat;
  }
}

base::Result<const Kernels*> Select(Tier tier) {
  if (!Supported(tier)) {
    return base::Fail(base::Code::kFailedPrecondition,
                      "this processor cannot run the " + std::string(TierName(tier)) +
                          " kernels: choose --kernels " + std::string(TierName(BestTier())));
  }
  return tier == Tier::kAvx2 ? &Avx2Kernels() : &ScalarKernels();
}

}  // namespace cloister::kernels::cpu
