#include "trainer/audit/matched_filter.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace cloister::trainer {
namespace {

constexpr double kScale = 1.0 / dp::BandedMatrix::kOne;  // of the matrix' whole numbers

}  // namespace

MatchedFilter::MatchedFilter(dp::BandedMatrix encoder, FixedOrderBatches order, double sensitivity,
                             std::int64_t parameters)
    : encoder_(std::move(encoder)),
      order_(std::move(order)),
      sensitivity_(sensitivity),
      latest_releases_(static_cast<std::size_t>(encoder_.bands())),
      latest_turn_(static_cast<std::size_t>(order_.slots()), -1),
      energy_(static_cast<std::size_t>(order_.slots())),
      projection_(static_cast<std::size_t>(parameters)) {}

void MatchedFilter::Observe(std::span<const double> noised_sum) {
  CLOISTER_CHECK(noised_sum.size() == projection_.size());
  const std::int64_t bands = encoder_.bands();
  const auto entry = [&](std::int64_t column, std::int64_t below) {
    return static_cast<double>(encoder_.entry(column, below)) * kScale;
  };
  latest_releases_[static_cast<std::size_t>(step_ % bands)].assign(noised_sum.begin(),
                                                                   noised_sum.end());
  for (const std::int64_t slot : order_.Batch(step_)) {
    latest_turn_[static_cast<std::size_t>(slot)] = step_;
    energy_[static_cast<std::size_t>(slot)] +=
        static_cast<double>(encoder_.SquaredColumnNorm(step_)) * kScale * kScale;
  }
  std::vector<double> whitened(noised_sum.size());
  for (std::int64_t below = 0; below < std::min(bands, step_ + 1); ++below) {
    const std::int64_t column = step_ - below;
    const auto& release = latest_releases_[static_cast<std::size_t>(column % bands)];
    for (std::size_t i = 0; i < whitened.size(); ++i) {
      whitened[i] += entry(column, below) * release[i];
    }
  }
  for (std::size_t i = 0; i < whitened.size(); ++i) {
    const std::int64_t turn =
        latest_turn_[static_cast<std::size_t>(Slot(static_cast<std::int64_t>(i)))];
    if (turn < 0 || step_ - turn >= bands) continue;
    projection_[i] += entry(turn, step_ - turn) * whitened[i];
  }
  ++step_;
}

std::vector<double> MatchedFilter::Matched() const {
  std::vector<double> matched(projection_.size());
  for (std::size_t i = 0; i < matched.size(); ++i) {
    const double energy = energy_[static_cast<std::size_t>(Slot(static_cast<std::int64_t>(i)))];
    if (energy > 0) matched[i] = projection_[i] / (std::sqrt(energy) * sensitivity_);
  }
  return matched;
}

}  // namespace cloister::trainer
