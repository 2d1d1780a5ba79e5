#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/result.h"
#include "dp/mechanism/lattice_sum.h"
#include "dp/mechanism/privacy_types.h"
#include "dp/mechanism/rank_link.h"

namespace cloister::dp {

namespace clipping {
class ClippedSumFactory;  // dp/clipping: the only maker
}

// A sum over privacy units of vectors that were clipped and then rounded to the lattice spacing *
// Z, each unit's for itself. The sum is exact: adding or removing one unit moves it by that unit's
// vector, whose L2 norm is at most clip_norm + excess. Only the clipping engine makes one: whatever
// holds a ClippedSum need not ask whether the clipping was done. Only mechanisms read its numbers
// (dp/mechanism/unnoised.h).
class ClippedSum {
 public:
  // More units than this in one sum are refused: beyond, whole numbers of 64 bits may not hold it.
  static constexpr std::int64_t kMaxUnits = std::int64_t{1} << 30;

  std::int64_t dimension() const { return points_.dimension(); }
  double spacing() const { return spacing_; }
  double clip_norm() const { return clip_norm_; }
  double excess() const { return excess_; }
  PrivacyUnit unit() const { return unit_; }
  Neighbours neighbours() const { return neighbours_; }

  // For a sum that is not released: its memory, all zero.
  LatticeSum Discard() && { return {dimension(), std::move(points_)}; }

  // One sum of those that several ranks made of the units that each drew, no unit on two ranks. An
  // empty rank gives a sum of none. It is exact, so that it is the sum of a single rank to the bit.
  // kInvalidArgument for none, and where lattice, norm, unit, relation or dimension differ;
  // kOutOfRange for more than kMaxUnits units in all.
  static base::Result<ClippedSum> Join(std::vector<ClippedSum> ranks);

  // The same where each rank is a process and `own` its sum. Rank 0 alone has the whole afterwards,
  // and no other has a sum that could be released: noise can be added once only. The others learn
  // nothing of the whole. Errors as Join() on every rank, and the link's.
  struct Joined;
  static base::Result<Joined> JoinOnFirst(ClippedSum own, RankLink& ranks);

  ClippedSum(ClippedSum&&) = default;
  ClippedSum& operator=(ClippedSum&&) = default;
  ClippedSum(const ClippedSum&) = delete;  // one sum is released once
  ClippedSum& operator=(const ClippedSum&) = delete;

 private:
  friend class clipping::ClippedSumFactory;
  friend struct Unnoised;
  ClippedSum(LatticeSum points, double spacing, double clip_norm, double excess, PrivacyUnit unit,
             Neighbours neighbours, std::int64_t units)
      : points_(std::move(points)),
        spacing_(spacing),
        clip_norm_(clip_norm),
        excess_(excess),
        unit_(unit),
        neighbours_(neighbours),
        units_(units) {}

  // What sums that are joined have in common, each number's bits.
  std::array<std::int64_t, 6> Rules() const;

  LatticeSum points_;
  double spacing_;
  double clip_norm_;
  double excess_;
  PrivacyUnit unit_;
  Neighbours neighbours_;
  std::int64_t units_;  // a secret: for Join() alone
};

struct ClippedSum::Joined {
  std::optional<ClippedSum> whole;  // on rank 0
  LatticeSum spare{0};              // memory of a rank's own sum elsewhere, for its next one
};

}  // namespace cloister::dp
