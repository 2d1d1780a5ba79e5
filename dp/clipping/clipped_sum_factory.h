#pragma once

#include <vector>

#include "dp/mechanism/clipped_sum.h"

namespace cloister::dp::clipping {

class BookKeeping;

// The one door to a dp::ClippedSum; only the clipping engine passes it.
class ClippedSumFactory {
 private:
  friend class BookKeeping;
  static ClippedSum Make(std::vector<double> values, double clip_norm, double summation_error,
                         PrivacyUnit unit, Neighbours neighbours);
};

}  // namespace cloister::dp::clipping
