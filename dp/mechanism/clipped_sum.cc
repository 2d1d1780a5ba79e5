#include "dp/mechanism/clipped_sum.h"

namespace cloister::dp {

base::Result<ClippedSum> ClippedSum::Join(std::vector<ClippedSum> ranks) {
  if (ranks.empty()) {
    return base::Fail(base::Code::kInvalidArgument, "no rank gave a sum: one of none is a sum too");
  }
  ClippedSum whole = std::move(ranks.front());
  for (std::size_t i = 1; i < ranks.size(); ++i) {
    const ClippedSum& rank = ranks[i];
    if (rank.spacing_ != whole.spacing_ || rank.clip_norm_ != whole.clip_norm_ ||
        rank.excess_ != whole.excess_ || rank.unit_ != whole.unit_ ||
        rank.neighbours_ != whole.neighbours_ ||
        rank.points_.dimension() != whole.points_.dimension()) {
      return base::Fail(base::Code::kInvalidArgument,
                        "rank " + std::to_string(i) +
                            " clipped by other rules than rank 0: start all with one recipe");
    }
    if (rank.units_ > kMaxUnits - whole.units_) {
      return base::Fail(base::Code::kOutOfRange,
                        "the ranks drew more than " + std::to_string(kMaxUnits) +
                            " units for one step: lower the sampling rate");
    }
    whole.units_ += rank.units_;
    whole.points_.Add(rank.points_);
  }
  return whole;
}

}  // namespace cloister::dp
