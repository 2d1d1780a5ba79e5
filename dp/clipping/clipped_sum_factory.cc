#include "dp/clipping/clipped_sum_factory.h"

#include <utility>

namespace cloister::dp::clipping {

ClippedSum ClippedSumFactory::Make(LatticeSum points, double spacing, double clip_norm,
                                   double excess, PrivacyUnit unit, Neighbours neighbours,
                                   std::int64_t units) {
  return ClippedSum(std::move(points), spacing, clip_norm, excess, unit, neighbours, units);
}

}  // namespace cloister::dp::clipping
