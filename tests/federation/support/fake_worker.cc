#include "tests/federation/support/fake_worker.h"

#include <algorithm>
#include <random>

namespace cloister::federation::test {

void PlainUpdates::Record(const std::string& site, std::int64_t round,
                          std::vector<std::int64_t> values) {
  const std::lock_guard lock(mutex_);
  values_[{site, round}] = std::move(values);
}

std::vector<std::int64_t> PlainUpdates::Sum(const std::vector<std::string>& sites,
                                            std::int64_t round) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::int64_t> sum;
  for (const std::string& site : sites) {
    const auto found = values_.find({site, round});
    if (found == values_.end()) return {};
    sum.resize(found->second.size());
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += found->second[i];
  }
  return sum;
}

bool PlainUpdates::Has(const std::string& site, std::int64_t round) const {
  const std::lock_guard lock(mutex_);
  return values_.contains({site, round});
}

base::Result<worker::Opened> FakeWorker::Open(const worker::Open&) {
  return worker::Opened{parameters_, 0.25, 0.75};
}

base::Result<worker::Evaluated> FakeWorker::Evaluate(std::span<const float> parameters) {
  const bool zero =
      std::all_of(parameters.begin(), parameters.end(), [](float value) { return value == 0.0F; });
  return worker::Evaluated{zero ? 2.0 : 1.5, 4};
}

base::Result<site::WorkerChannel::NoisedUpdate> FakeWorker::Train(
    const worker::Train& train, std::span<const float> parameters) {
  if (before_training_) CLOISTER_RETURN_IF_ERROR(before_training_(train.round));
  // Known and different for every site and round, of both signs and up to a quarter of the range.
  std::seed_seq seed{static_cast<unsigned>(train.round), static_cast<unsigned>(site_.back())};
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<std::int64_t> draw(-(1 << 28), 1 << 28);
  NoisedUpdate update;
  for (std::size_t i = 0; i < parameters.size(); ++i) update.values.push_back(draw(random));
  update.privacy = {0.5, 0.9};
  updates_.Record(site_, train.round, update.values);
  return update;
}

}  // namespace cloister::federation::test
