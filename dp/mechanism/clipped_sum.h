#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/result.h"
#include "dp/mechanism/lattice_sum.h"
#include "dp/mechanism/privacy_types.h"

namespace cloister::dp {

namespace clipping {
class ClippedSumFactory;  // dp/clipping: the only maker
}

// A sum over privacy units of vectors that were clipped and then rounded to the lattice spacing *
// Z, each unit's for itself. The sum is exact: adding or removing one unit moves it by that unit's
// vector, whose L2 norm is at most clip_norm + excess. Only the clipping engine makes one: whatever
// holds a ClippedSum need not ask whether the clipping was done.
class ClippedSum {
 public:
  // More units than this in one sum are refused: beyond, whole numbers of 64 bits may not hold it.
  static constexpr std::int64_t kMaxUnits = std::int64_t{1} << 30;

  const LatticeSum& points() const { return points_; }
  double spacing() const { return spacing_; }
  double clip_norm() const { return clip_norm_; }
  double excess() const { return excess_; }
  PrivacyUnit unit() const { return unit_; }
  Neighbours neighbours() const { return neighbours_; }

  // points() * spacing, all of them: a copy.
  std::vector<double> values() const {
    std::vector<double> values;
    values.reserve(static_cast<std::size_t>(points_.dimension()));
    for (const std::int64_t point : points_.All()) {
      values.push_back(static_cast<double>(point) * spacing_);
    }
    return values;
  }
  LatticeSum TakePoints() && { return std::move(points_); }

  // One sum of those that several ranks made of the units that each drew, no unit on two ranks. An
  // empty rank gives a sum of none. It is exact, so that it is the sum of a single rank to the bit.
  // kInvalidArgument for none, and where lattice, norm, unit, relation or dimension differ;
  // kOutOfRange for more than kMaxUnits units in all.
  static base::Result<ClippedSum> Join(std::vector<ClippedSum> ranks);

  ClippedSum(ClippedSum&&) = default;
  ClippedSum& operator=(ClippedSum&&) = default;
  ClippedSum(const ClippedSum&) = delete;  // one sum is released once
  ClippedSum& operator=(const ClippedSum&) = delete;

 private:
  friend class clipping::ClippedSumFactory;
  ClippedSum(LatticeSum points, double spacing, double clip_norm, double excess, PrivacyUnit unit,
             Neighbours neighbours, std::int64_t units)
      : points_(std::move(points)),
        spacing_(spacing),
        clip_norm_(clip_norm),
        excess_(excess),
        unit_(unit),
        neighbours_(neighbours),
        units_(units) {}

  LatticeSum points_;
  double spacing_;
  double clip_norm_;
  double excess_;
  PrivacyUnit unit_;
  Neighbours neighbours_;
  std::int64_t units_;  // a secret: for Join() alone
};

}  // namespace cloister::dp
