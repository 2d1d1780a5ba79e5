#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dp/matrix_factorization/banded_matrix.h"
#include "trainer/data/sampling.h"

namespace cloister::trainer {

// What an attacker makes of the releases Y_t of a run with matrix-factorization noise. C Y is C X
// and white noise z; a unit that takes part with value v at one coordinate in steps T adds v times
// the sum of T's columns there. The projection on those columns tells all that the releases know of
// it: as one Gaussian release of v does, whose noise is the run's own where the unit takes part as
// often as the sensitivity has it. Not thread-safe.
class MatchedFilter {
 public:
  // A unit at a coordinate of the parameters stands in slot Slot(coordinate) of `order`.
  // `sensitivity`: the encoder's, under the participation that is accounted for.
  MatchedFilter(dp::BandedMatrix encoder, FixedOrderBatches order, double sensitivity,
                std::int64_t parameters);

  std::int64_t Slot(std::int64_t coordinate) const { return coordinate % order_.slots(); }
  // The next step's noised sum, of all parameters.
  void Observe(std::span<const double> noised_sum);
  // Of each coordinate: noise of standard deviation z's over the sensitivity, and of a unit of
  // value v there v, or less where its slot came more rarely than the accounting has it.
  std::vector<double> Matched() const;

 private:
  dp::BandedMatrix encoder_;
  FixedOrderBatches order_;
  double sensitivity_;
  std::int64_t step_ = 0;
  std::vector<std::vector<double>> latest_releases_;  // step t's at t % bands
  std::vector<std::int64_t> latest_turn_;             // of each slot; -1 before its first
  std::vector<double> energy_;                        // of each slot's columns so far
  std::vector<double> projection_;
};

}  // namespace cloister::trainer
