#pragma once

#include "dp/mechanism/clipped_sum.h"

namespace cloister::dp::clipping {

class BookKeeping;

// The one door to a dp::ClippedSum; only the clipping engine passes it.
class ClippedSumFactory {
 private:
  friend class BookKeeping;
  static ClippedSum Make(LatticeSum points, double spacing, double clip_norm, double excess,
                         PrivacyUnit unit, Neighbours neighbours);
};

}  // namespace cloister::dp::clipping
