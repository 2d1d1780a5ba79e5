#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "dp/matrix_factorization/sensitivity.h"
#include "security/random.h"
#include "trainer/data/permutation.h"

namespace cloister::trainer {

// An independent draw of each of `units` units with probability `rate`: the sampling that a
// Poisson-sampled Gaussian is accounted for. From a CSPRNG; the result is secret and may be empty.
//
// With a shard, of the units index, index + count, … alone. Ranks that draw from the shards of one
// count, each by a stream of its own, together make one draw of all units.
struct Shard {
  std::int64_t index = 0;
  std::int64_t count = 1;
};
std::vector<std::int64_t> PoissonDraw(std::int64_t units, double rate,
                                      security::AesCtrStream& random, Shard shard = {});

// Without privacy: batches of a permutation of all records, another one each epoch by a public
// seed. Nothing is kept of it, so a step's batch is found at once, after a restart as well.
// Immutable.
class ShuffledBatches {
 public:
  // Batches of at most all records.
  ShuffledBatches(std::int64_t records, std::int64_t batch_size, std::uint64_t seed);
  // Of step >= 0: a function of (records, batch_size, seed, step).
  std::vector<std::int64_t> Batch(std::int64_t step) const;

 private:
  std::int64_t records_;
  std::int64_t batch_size_;
  std::uint64_t seed_;
};

// Fixed-order training: `slots` of units in one order, gone through again and again, each of
// `steps` steps taking the next `batch_size` of them.
struct FixedOrder {
  std::int64_t slots = 0;
  std::int64_t batch_size = 0;
  std::int64_t steps = 0;

  // How often one slot comes at most, ⌈steps · batch_size / slots⌉, and how many steps lie between
  // two of its turns at least, ⌊slots / batch_size⌋: both are reached.
  dp::Participation Schedule() const;
};

// The slots of each step. What stands in a slot does not matter: one that is empty keeps its turn.
// The order is public, a permutation by a public seed, and may be: nothing is amplified by it. So a
// step's batch is a function of (order, seed, step), after a restart as well. Immutable.
class FixedOrderBatches {
 public:
  // `allowed`: what the noise is accounted for. kInvalidArgument for numbers below 1, a batch
  // larger than the slots, and an order in which a slot would come more often, or again sooner.
  static base::Result<FixedOrderBatches> Create(const FixedOrder& order,
                                                const dp::Participation& allowed,
                                                std::uint64_t seed);

  std::int64_t slots() const { return order_.slots; }
  // Of step 0 <= step < steps: batch_size slots, each of [0, slots).
  std::vector<std::int64_t> Batch(std::int64_t step) const;

 private:
  FixedOrderBatches(const FixedOrder& order, std::uint64_t seed)
      : order_(order), permutation_(order.slots, seed) {}
  FixedOrder order_;
  Permutation permutation_;
};

}  // namespace cloister::trainer
