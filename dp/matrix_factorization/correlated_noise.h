#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "dp/matrix_factorization/banded_matrix.h"
#include "dp/mechanism/lattice_sampler.h"
#include "security/primitives.h"
#include "security/random.h"
#include "security/secret_bytes.h"

namespace cloister::dp {

// The noise of a matrix mechanism, a row a step, on the lattice of the sums: row t is the nearest
// whole number to (z_t - sum of C[t][j] row_j over the bands - 1 steps before) / C[t][t], z_t
// rounded Gaussians on a lattice 2^12 times finer, all in whole numbers. So x_t + row_t is a
// function of C x + z alone (docs/design, matrix factorization). (bands - 1) * dimension int64 of
// memory, bands multiplications a number. Rows are secret: with the released sums they give away
// the sums. They are wiped. Not thread-safe.
class CorrelatedNoise {
 public:
  // `sigma`: of z, in units of 2^-12 lattice spacings; in [16, 2^40]. kInvalidArgument where it or
  // the dimension is out of range, or where a row could pass what int64 holds (then a coarser
  // lattice helps).
  // `purpose`: of what the noise is accounted for; another one is another plan to Restore().
  static base::Result<CorrelatedNoise> Create(BandedMatrix matrix, std::int64_t dimension,
                                              double sigma, security::AesCtrStream random,
                                              const security::Sha256Digest& purpose = {});
  // Goes on after the last row of `states`: one Serialize(), or several, of the same run, whose
  // rows follow on one another without a gap. `random` is a fresh stream. kDataLoss for a state of
  // another version, plan or run, cut off or altered, and for rows that do not reach back far
  // enough.
  static base::Result<CorrelatedNoise> Restore(
      BandedMatrix matrix, std::int64_t dimension, double sigma, security::AesCtrStream random,
      std::span<const std::span<const std::uint8_t>> states,
      const security::Sha256Digest& purpose = {});

  CorrelatedNoise(CorrelatedNoise&&) noexcept = default;
  CorrelatedNoise& operator=(CorrelatedNoise&&) = delete;
  ~CorrelatedNoise();

  // No number of a row is beyond.
  double largest() const { return largest_; }
  // Steps drawn so far, here and before the states that were restored.
  std::int64_t step() const { return step_; }
  // Random bytes of the last Advance(), which tell this state from any other of the run, older or
  // drawn from the same one; zeros before the first.
  using Mark = std::array<std::uint8_t, 16>;
  const Mark& mark() const { return mark_; }
  // That of the last step that was recorded elsewhere, as SetRecorded() told; part of the state.
  const Mark& recorded() const { return recorded_; }
  void SetRecorded() { recorded_ = mark_; }
  // Draws the next step's row. kFailedPrecondition when every step of the matrix is drawn.
  base::Status Advance();
  // Of the last Advance(), `dimension` numbers. Each belongs to one release.
  std::span<const std::int64_t> row() const;

  // The state: version, plan, run, marks, and the rows that later steps need. To be sealed where it
  // is kept.
  security::SecretBytes Serialize() const;
  // The last row alone: states of bands - 1 consecutive steps together restore the noise.
  security::SecretBytes SerializeLastRow() const;

 private:
  using RunId = std::array<std::uint8_t, 16>;
  CorrelatedNoise(BandedMatrix matrix, std::int64_t dimension, double sigma,
                  security::AesCtrStream random, const RunId& run);
  std::int64_t KeptRows() const;
  security::SecretBytes SerializeRows(std::int64_t rows) const;
  base::Status Read(std::span<const std::uint8_t> state, bool first);
  std::span<std::int64_t> RowOf(std::int64_t step);
  std::span<const std::int64_t> RowOf(std::int64_t step) const;
  security::Sha256Digest PlanDigest() const;
  void DrawPart(std::size_t begin, std::span<std::int64_t> part);

  BandedMatrix matrix_;
  std::int64_t dimension_;
  double largest_;
  double sigma_;
  std::int64_t slots_;  // rows kept at most; step's row is in slot step % slots
  std::int64_t step_ = 0;
  std::int64_t oldest_ = 0;  // the first step whose row is kept
  security::Sha256Digest purpose_{};
  RunId run_{};
  Mark mark_{};
  Mark recorded_{};
  std::vector<std::int64_t> rows_;
  LatticeSampler sampler_;
};

}  // namespace cloister::dp
