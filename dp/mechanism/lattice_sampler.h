#pragma once

#include <cstdint>
#include <span>

#include "dp/mechanism/box_muller_tiers.h"
#include "security/random.h"

namespace cloister::dp {

// Rounded Gaussians: the nearest integer to sigma * z, z standard normal, as int64. Box–Muller in
// fp64 on 53-bit uniforms of a CSPRNG, on the processor's widest vectors; a sample so near to a
// rounding boundary that fp64 cannot decide is decided with more bits of the same uniforms in
// extended precision, so that the distribution is the exact rounded Gaussian's up to
// TotalVariationBound() a sample. The argument is in docs/design. A stream gives the same samples
// on every processor. Not thread-safe.
class LatticeSampler {
 public:
  // `sigma` in lattice units, in [16, 2^40]. `random` must not serve anything else from here on.
  LatticeSampler(double sigma, security::AesCtrStream random);
  // On a given tier, for tests and measurements. The processor must support it.
  LatticeSampler(double sigma, security::AesCtrStream random, SamplerTier tier);

  // Draws whole blocks: what is left of the last one is dropped, never used later.
  void Fill(std::span<std::int64_t> samples);
  double sigma() const { return sigma_; }
  // Between a sample's distribution and the exact rounded Gaussian's, given a stream of true random
  // bits; for n samples together n times this.
  static double TotalVariationBound(double sigma);

 private:
  void FillBlocks(std::span<std::int64_t> samples, std::span<std::uint64_t> words);

  double sigma_;
  DecideBlocks decide_blocks_;
  security::AesCtrStream random_;
};

}  // namespace cloister::dp
