#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/result.h"
#include "dp/matrix_factorization/sensitivity.h"
#include "security/random.h"

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
  FixedOrderBatches(const FixedOrder& order, std::vector<std::int64_t> permutation)
      : order_(order), permutation_(std::move(permutation)) {}
  FixedOrder order_;
  std::vector<std::int64_t> permutation_;
};

}  // namespace cloister::trainer
