#include "trainer/run/adaptive_norm.h"

#include <algorithm>
#include <cmath>

namespace cloister::trainer {

void AdaptiveClipNorm::Update(double count) {
  // Noise may carry the share anywhere.
  const double share = std::clamp(count / nominal_batch_ + 0.5, 0.0, 1.0);
  norm_ *= std::exp(-settings_.rate * (share - settings_.quantile));
  norm_ = std::clamp(norm_, 1e-30, 1e30);
}

}  // namespace cloister::trainer
