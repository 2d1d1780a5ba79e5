#include "trainer/data/sampling.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "base/check.h"

namespace cloister::trainer {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014): public shuffling only, never noise or private sampling.
std::uint64_t NextPublic(std::uint64_t& state) {
  state += 0x9E3779B97F4A7C15U;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

void ShufflePublicly(std::vector<std::int64_t>& order, std::uint64_t& state) {
  for (std::size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[NextPublic(state) % i]);
  }
}

tl::unexpected<base::Error> Bad(const std::string& field, const std::string& rule) {
  return base::Fail(base::Code::kInvalidArgument, "fixed order, " + field + ": " + rule);
}

}  // namespace

std::vector<std::int64_t> PoissonDraw(std::int64_t units, double rate,
                                      security::AesCtrStream& random, Shard shard) {
  CLOISTER_CHECK(shard.index >= 0 && shard.index < shard.count);
  std::vector<std::int64_t> drawn;
  for (std::int64_t unit = shard.index; unit < units; unit += shard.count) {
    if (random.Bernoulli(rate)) drawn.push_back(unit);
  }
  return drawn;
}

ShuffledBatches::ShuffledBatches(std::int64_t records, std::int64_t batch_size, std::uint64_t seed)
    : batch_size_(std::min(batch_size, records)),
      state_(seed),
      order_(static_cast<std::size_t>(records)) {
  std::iota(order_.begin(), order_.end(), std::int64_t{0});
  Shuffle();
}

void ShuffledBatches::Shuffle() {
  ShufflePublicly(order_, state_);
  position_ = 0;
}

std::vector<std::int64_t> ShuffledBatches::Next() {
  std::vector<std::int64_t> batch;
  while (static_cast<std::int64_t>(batch.size()) < batch_size_) {
    if (position_ == order_.size()) Shuffle();
    batch.push_back(order_[position_++]);
  }
  return batch;
}

dp::Participation FixedOrder::Schedule() const {
  // Slot p has its turns p, p + slots, p + 2 slots, … of steps * batch_size; turn x is in step
  // ⌊x / batch_size⌋.
  return {.max_participations = (steps * batch_size + slots - 1) / slots,
          .min_separation = slots / batch_size};
}

base::Result<FixedOrderBatches> FixedOrderBatches::Create(const FixedOrder& order,
                                                          const dp::Participation& allowed,
                                                          std::uint64_t seed) {
  if (order.slots < 1 || order.steps < 1 || order.batch_size < 1) {
    return Bad("slots, batch_size and steps", "give numbers of at least 1");
  }
  std::int64_t turns = 0;
  if (__builtin_mul_overflow(order.steps, order.batch_size, &turns)) {
    return Bad("steps", "steps * batch_size is beyond 64 bits: give fewer");
  }
  if (order.batch_size > order.slots) {
    return Bad("batch_size",
               "a unit would stand twice in a step: give at most " + std::to_string(order.slots));
  }
  const dp::Participation schedule = order.Schedule();
  if (schedule.max_participations > allowed.max_participations) {
    return Bad("steps", "units would take part up to " +
                            std::to_string(schedule.max_participations) + " times, " +
                            std::to_string(allowed.max_participations) +
                            " are allowed: take fewer steps or a smaller batch");
  }
  if (schedule.min_separation < allowed.min_separation) {
    return Bad("batch_size", "units would take part again after " +
                                 std::to_string(schedule.min_separation) + " steps, at least " +
                                 std::to_string(allowed.min_separation) +
                                 " are accounted for: take a smaller batch");
  }
  std::vector<std::int64_t> permutation(static_cast<std::size_t>(order.slots));
  std::iota(permutation.begin(), permutation.end(), std::int64_t{0});
  ShufflePublicly(permutation, seed);
  return FixedOrderBatches(order, std::move(permutation));
}

std::vector<std::int64_t> FixedOrderBatches::Batch(std::int64_t step) const {
  CLOISTER_CHECK(step >= 0 && step < order_.steps);
  std::vector<std::int64_t> batch;
  batch.reserve(static_cast<std::size_t>(order_.batch_size));
  for (std::int64_t turn = step * order_.batch_size; turn < (step + 1) * order_.batch_size;
       ++turn) {
    batch.push_back(permutation_[static_cast<std::size_t>(turn % order_.slots)]);
  }
  return batch;
}

}  // namespace cloister::trainer
