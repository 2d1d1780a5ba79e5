#include "trainer/data/sampling.h"

#include <algorithm>
#include <string>

#include "base/check.h"

namespace cloister::trainer {
namespace {

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
    : records_(records), batch_size_(std::min(batch_size, records)), seed_(seed) {}

std::vector<std::int64_t> ShuffledBatches::Batch(std::int64_t step) const {
  std::vector<std::int64_t> batch;
  batch.reserve(static_cast<std::size_t>(batch_size_));
  std::int64_t turn = step * batch_size_;
  const std::int64_t end = turn + batch_size_;
  while (turn < end) {
    const std::int64_t epoch = turn / records_;
    const Permutation order(records_, seed_, static_cast<std::uint64_t>(epoch));
    for (const std::int64_t first = epoch * records_; turn < std::min(end, first + records_);
         ++turn) {
      batch.push_back(order.At(turn - first));
    }
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
  return FixedOrderBatches(order, seed);
}

std::vector<std::int64_t> FixedOrderBatches::Batch(std::int64_t step) const {
  CLOISTER_CHECK(step >= 0 && step < order_.steps);
  std::vector<std::int64_t> batch;
  batch.reserve(static_cast<std::size_t>(order_.batch_size));
  for (std::int64_t turn = step * order_.batch_size; turn < (step + 1) * order_.batch_size;
       ++turn) {
    batch.push_back(permutation_.At(turn % order_.slots));
  }
  return batch;
}

}  // namespace cloister::trainer
