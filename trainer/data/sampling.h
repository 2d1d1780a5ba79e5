#pragma once

#include <cstdint>
#include <vector>

#include "security/random.h"

namespace cloister::trainer {

// An independent draw of each of `units` units with probability `rate`: the sampling that a
// Poisson-sampled Gaussian is accounted for. From a CSPRNG; the result is secret and may be empty.
std::vector<std::int64_t> PoissonDraw(std::int64_t units, double rate,
                                      security::AesCtrStream& random);

// Without privacy: batches of a permutation of all records, shuffled anew each epoch from a public
// seed. Step s's batch is a function of (records, batch_size, seed, s).
class ShuffledBatches {
 public:
  ShuffledBatches(std::int64_t records, std::int64_t batch_size, std::uint64_t seed);
  std::vector<std::int64_t> Next();

 private:
  void Shuffle();
  std::int64_t batch_size_;
  std::uint64_t state_;
  std::vector<std::int64_t> order_;
  std::size_t position_ = 0;
};

}  // namespace cloister::trainer
