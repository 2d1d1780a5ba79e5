#include "dp/accounting/split_loss.h"

#include <cmath>

#include "dp/accounting/tilted_loss.h"

namespace cloister::dp {
namespace {

constexpr double kSplitCost = 2e-5;  // of δ
constexpr double kFarEvents = 4;     // in a composition
constexpr double kLeastRatio = 8;    // of all losses' span to that of near ones

}  // namespace

std::optional<SplitLoss> Split(const PrivacyLoss& step, double steps, double tilt) {
  const std::size_t size = step.loss.size();
  if (size < 3) return std::nullopt;
  const double whole = CumulantOf(step, tilt).value;
  std::size_t first = 0;
  std::size_t last = size - 1;
  double events = 0;
  while (first < last) {
    const bool low = -step.loss[first] > step.loss[last];
    const std::size_t i = low ? first : last;
    events += steps * step.mass[i] * std::exp(tilt * step.loss[i] - whole);
    if (events > kFarEvents) break;
    low ? ++first : --last;
  }
  const double span = step.loss.back() - step.loss.front();
  if (first == last || span < kLeastRatio * (step.loss[last] - step.loss[first])) {
    return std::nullopt;
  }
  SplitLoss made;
  double mass = 0;
  double excess = 0;  // of Q's mass of what is near over P's
  for (std::size_t i = first; i <= last; ++i) {
    mass += step.mass[i];
    excess += step.mass[i] * std::expm1(-step.loss[i]);
  }
  // Near losses keep their places, which are those of the near outcomes' own law and of the chance
  // to be near; far ones make up for it.
  const double lift = std::log1p(excess / mass);
  for (std::size_t i = 0; i < size; ++i) {
    if (i >= first && i <= last) {
      made.near.loss.push_back(step.loss[i]);
      made.near.mass.push_back(step.mass[i] / mass);
    }
    if (i == first) {
      made.atom = made.far.loss.size();
      made.far.loss.push_back(0);
      made.far.mass.push_back(mass);
    }
    if (i < first || i > last) {
      made.far.loss.push_back(step.loss[i] + lift);
      made.far.mass.push_back(step.mass[i]);
    }
  }
  const auto& far = made.far.loss;
  if ((made.atom > 0 && far[made.atom - 1] >= 0) ||
      (made.atom + 1 < far.size() && far[made.atom + 1] <= 0)) {
    return std::nullopt;
  }
  const double cost =
      steps * (CumulantOf(made.near, tilt).value + CumulantOf(made.far, tilt).value - whole);
  if (!(cost < kSplitCost)) return std::nullopt;
  return made;
}

}  // namespace cloister::dp
