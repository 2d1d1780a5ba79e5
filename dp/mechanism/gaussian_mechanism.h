#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "dp/ledger/ledger.h"
#include "dp/mechanism/clipped_sum.h"
#include "dp/mechanism/lattice_rounding.h"
#include "dp/mechanism/lattice_sampler.h"
#include "security/random.h"

namespace cloister::dp {

// A noised sum in lattice units: value = lattice[i] * spacing. What it is worth in privacy is in
// the ledger already. Only GaussianMechanism and MatrixMechanism make one.
class NoisedSum {
 public:
  const LatticeSum& points() const { return points_; }
  std::vector<std::int64_t> lattice() const { return points_.All(); }  // a copy
  double spacing() const { return spacing_; }
  LatticeSum TakePoints() && { return std::move(points_); }

 private:
  friend class GaussianMechanism;
  friend class MatrixMechanism;  // dp/matrix_factorization
  NoisedSum(LatticeSum points, double spacing) : points_(std::move(points)), spacing_(spacing) {}
  LatticeSum points_;
  double spacing_;
};

// Adds rounded-Gaussian noise to a clipped sum on its lattice, in the sum's own memory
// (docs/design, lattice mechanism). Sensitivity: the sum's clip_norm + excess, at most 1.01 *
// clip_norm. The excess, which is public, is divided out of the noise multiplier that is accounted.
// Not thread-safe.
class GaussianMechanism {
 public:
  struct Parameters {
    double noise_multiplier = 0;  // standard deviation of the whole noise over clip_norm
    double clip_norm = 0;
    double sampling_rate = 0;
    std::int64_t dimension = 0;
    double spacing = 0;  // g; at most noise_multiplier * clip_norm / 64, at least clip_norm / 2^26
    Neighbours neighbours{};
    // Secure aggregation, `distributed` mode: this holder adds noise of standard deviation
    // noise_multiplier * clip_norm / sqrt(noise_shares); any `noise_shares` honest survivors
    // together reach the whole. 1: this holder's noise is the whole (local mode, one machine).
    std::int64_t noise_shares = 1;
    // Honest holders' shares that may be summed at most (for the aliasing bound): n.
    std::int64_t summed_shares = 1;
    // In spacings. Coordinates of a sum are cut to it before noise, so that what is released fits
    // whole numbers of a known width however many units there are, and nobody learns whether there
    // were too many. Cutting moves no two sums farther apart: the sensitivity is as before.
    std::optional<std::int64_t> largest_coordinate;
  };
  // kInvalidArgument naming the parameter that breaks a rule above.
  static base::Result<GaussianMechanism> Create(const Parameters& parameters,
                                                security::AesCtrStream random);

  // The event one release costs, with its delta_slack; the effective noise multiplier is below
  // Parameters::noise_multiplier by the lattice's share of the sensitivity.
  Event event() const;
  // The same with this holder's own noise alone (noise_shares = 1 gives event()).
  Event own_noise_event() const;

  // Cuts what passes largest_coordinate, takes the memory that noise needs, debits the ledger
  // durably, then returns sum + noise. After an error nothing was released; the spend may be
  // durable all the same (it is never refunded). kInvalidArgument for a sum of another clip norm,
  // lattice, dimension or neighbour relation and kInternal for want of memory (then nothing was
  // debited either); the ledger's error otherwise.
  base::Result<NoisedSum> Release(ClippedSum sum, Ledger& ledger, const std::string& data_set,
                                  const SpendKey& key);

 private:
  GaussianMechanism(const Parameters& parameters, security::AesCtrStream random);
  void AddNoise(LatticeSum& points);

  Parameters parameters_;
  double sigma_;  // of this holder's noise, in spacings
  security::AesCtrStream random_;
};

}  // namespace cloister::dp
