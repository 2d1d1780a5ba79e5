#pragma once

#include <cstdint>

#include "dp/mechanism/clipped_sum.h"

namespace cloister::dp::clipping {

class BookKeeping;

// The one door to a dp::ClippedSum; only the clipping engine passes it.
class ClippedSumFactory {
 private:
  friend class BookKeeping;
  static ClippedSum Make(LatticeSum points, double spacing, double clip_norm, double excess,
                         PrivacyUnit unit, Neighbours neighbours, std::int64_t units);
};

}  // namespace cloister::dp::clipping
