#include "dp/clipping/clip_rule.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace cloister::dp::clipping {
namespace {

double Norm(std::span<const double> values) {
  double squared = 0;
  for (const double value : values) squared += value * value;
  return std::sqrt(squared);
}

bool IsPositive(double value) { return value > 0 && std::isfinite(value); }

}  // namespace

base::Status ClipRule::Validate(std::int64_t groups) const {
  const auto wanted = static_cast<std::size_t>(style == Style::kPerGroup ? groups : 1);
  if (clip_norms.size() != wanted) {
    return base::Fail(base::Code::kInvalidArgument,
                      "clipping has " + std::to_string(clip_norms.size()) + " clip norms and not " +
                          std::to_string(wanted) + ": give one" +
                          (style == Style::kPerGroup ? " for each group of parameters" : ""));
  }
  if (!std::all_of(clip_norms.begin(), clip_norms.end(), IsPositive)) {
    return base::Fail(base::Code::kInvalidArgument,
                      "clip_norm must be positive and finite: put it near the usual gradient norm");
  }
  if (style == Style::kAutomatic && !IsPositive(stability)) {
    return base::Fail(base::Code::kInvalidArgument,
                      "automatic clipping wants a stability above 0: 0.01 is usual");
  }
  return {};
}

double ClipRule::Sensitivity() const { return Norm(clip_norms); }

std::vector<double> ClipRule::Factors(std::span<const double> norms) const {
  const double whole = Norm(norms);
  std::vector<double> factors(norms.size(), 0.0);
  if (!std::isfinite(whole)) return factors;
  for (std::size_t i = 0; i < norms.size(); ++i) {
    switch (style) {
      case Style::kFlat:
        factors[i] = std::min(1.0, clip_norms[0] / whole);
        break;
      case Style::kAutomatic:
        factors[i] = clip_norms[0] / (whole + stability);
        break;
      case Style::kPerGroup:
        factors[i] = std::min(1.0, clip_norms[i] / norms[i]);
        break;
    }
  }
  return factors;
}

double CountWeight(double clip_norm, double noise_multiplier, double count_noise_multiplier) {
  return 2 * clip_norm * noise_multiplier / count_noise_multiplier;
}

double JointNoiseMultiplier(double noise_multiplier, double count_noise_multiplier) {
  return 1 / std::hypot(1 / noise_multiplier, 1 / count_noise_multiplier);
}

}  // namespace cloister::dp::clipping
