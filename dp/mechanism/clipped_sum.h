#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "dp/mechanism/privacy_types.h"

namespace cloister::dp {

namespace clipping {
class ClippedSumFactory;  // dp/clipping: the only maker
}

// A sum over privacy units of vectors whose L2 norm is at most `clip_norm`, as computed in floating
// point. Adding or removing one unit moves the computed value by at most
// clip_norm + 2 * summation_error in L2 norm. Only the clipping engine makes one: whatever holds a
// ClippedSum need not ask whether the clipping was done.
class ClippedSum {
 public:
  const std::vector<double>& values() const { return values_; }
  double clip_norm() const { return clip_norm_; }
  double summation_error() const { return summation_error_; }  // L2 bound on |computed - exact|
  PrivacyUnit unit() const { return unit_; }
  Neighbours neighbours() const { return neighbours_; }

  ClippedSum(ClippedSum&&) = default;
  ClippedSum& operator=(ClippedSum&&) = default;
  ClippedSum(const ClippedSum&) = delete;  // one sum is released once
  ClippedSum& operator=(const ClippedSum&) = delete;

 private:
  friend class clipping::ClippedSumFactory;
  ClippedSum(std::vector<double> values, double clip_norm, double summation_error, PrivacyUnit unit,
             Neighbours neighbours)
      : values_(std::move(values)),
        clip_norm_(clip_norm),
        summation_error_(summation_error),
        unit_(unit),
        neighbours_(neighbours) {}

  std::vector<double> values_;
  double clip_norm_;
  double summation_error_;
  PrivacyUnit unit_;
  Neighbours neighbours_;
};

}  // namespace cloister::dp
