#include "dp/clipping/clipped_sum_factory.h"

#include <utility>

namespace cloister::dp::clipping {

ClippedSum ClippedSumFactory::Make(std::vector<double> values, double clip_norm,
                                   double summation_error, PrivacyUnit unit,
                                   Neighbours neighbours) {
  return ClippedSum(std::move(values), clip_norm, summation_error, unit, neighbours);
}

}  // namespace cloister::dp::clipping
