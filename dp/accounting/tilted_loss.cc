#include "dp/accounting/tilted_loss.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cloister::dp {
namespace {

// Rounding of a loss or of its place on the lattice, in units of the larger of them.
constexpr double kRounding = 4 * std::numeric_limits<double>::epsilon();

// 1 - e^-x for x >= 0: on fine lattices by a few terms of its series, to a rounding or two.
double OneLessExp(double x) {
  if (x > 1e-3) return -std::expm1(-x);
  return x * (1 - x / 2 * (1 - x / 3 * (1 - x / 4 * (1 - x / 5))));
}

void Add(LatticeLoss& lattice, std::int64_t index, double mass) {
  // Neighbours of ascending losses: the index is the last, the one before it or a new one.
  const std::size_t size = lattice.index.size();
  for (std::size_t back = 1; back <= std::min<std::size_t>(2, size); ++back) {
    if (lattice.index[size - back] != index) continue;
    lattice.mass[size - back] += mass;
    return;
  }
  lattice.index.push_back(index);
  lattice.mass.push_back(mass);
}

}  // namespace

double Sum(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

Cumulant CumulantOf(const PrivacyLoss& loss, double tilt) {
  double largest = -std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < loss.loss.size(); ++i) {
    if (loss.mass[i] > 0) largest = std::max(largest, tilt * loss.loss[i]);
  }
  // Where exponents are small, Σ m (e^x - 1) keeps the digits that log Σ m e^x would lose.
  const bool small = largest < 1 && largest > -1;
  const double base = small ? 0 : largest;
  std::vector<double> weight(loss.loss.size());
  double sum = 0;
  double first = 0;
  double excess = 0;
  double total = 0;
  for (std::size_t i = 0; i < loss.loss.size(); ++i) {
    const double mass = loss.mass[i];
    const double exponent = tilt * loss.loss[i] - base;
    if (small) {
      const double one = mass * std::expm1(exponent);
      excess += one;
      weight[i] = mass + one;
    } else {
      weight[i] = mass * std::exp(exponent);
    }
    sum += weight[i];
    first += weight[i] * loss.loss[i];
    total += mass;
  }
  Cumulant made;
  made.mean = first / sum;
  double second = 0;
  for (std::size_t i = 0; i < loss.loss.size(); ++i) {
    const double away = loss.loss[i] - made.mean;
    second += weight[i] * away * away;
  }
  made.variance = second / sum;
  made.value = small ? std::log1p(excess + (total - 1)) : base + std::log(sum);
  return made;
}

TiltedLoss Tilt(const PrivacyLoss& loss, double tilt, double cumulant) {
  TiltedLoss made;
  made.loss.reserve(loss.loss.size());
  made.mass.reserve(loss.loss.size());
  for (std::size_t i = 0; i < loss.loss.size(); ++i) {
    const double mass = loss.mass[i] * std::exp(tilt * loss.loss[i] - cumulant);
    if (!(mass > 0)) continue;
    made.loss.push_back(loss.loss[i]);
    made.mass.push_back(mass);
  }
  return made;
}

namespace {

// Calls lower(index, mass) for a loss on the lattice or for what its lower neighbour takes, and
// upper(mass) for what the one above that takes, losses ascending. Returns the shift of losses.
template <typename Lower, typename Upper>
double RoundToLattice(const TiltedLoss& loss, double tilt, double spacing, const Lower& lower,
                      const Upper& upper) {
  const double origin = loss.loss[loss.anchor];
  const double scale = OneLessExp(spacing);
  const double lift = tilt * spacing;
  // Two factors where none overflows, which saves an exponential a loss.
  const double lift_factor = lift < 500 ? std::exp(lift) : 0;
  double shift = 0;
  for (std::size_t i = 0; i < loss.loss.size(); ++i) {
    const double away = loss.loss[i] - origin;
    auto index = static_cast<std::int64_t>(std::floor(away / spacing));
    double above = away - static_cast<double>(index) * spacing;
    const double rounding = kRounding * std::max(std::abs(loss.loss[i]), std::abs(origin));
    if (above >= spacing - rounding) {
      ++index;
      above = 0;
    }
    if (above <= rounding) {
      // On the lattice but for rounding; the loss may now stand lower by that.
      shift = std::max(shift, std::max(above, rounding));
      lower(index, loss.mass[i]);
      continue;
    }
    // The upper neighbour takes (1 - e^-above) / (1 - e^-spacing), and each mass is tilted anew.
    const double part = OneLessExp(above) / scale;
    const double fall = std::exp(-tilt * above);
    lower(index, loss.mass[i] * (1 - part) * fall);
    upper(loss.mass[i] * part *
          (lift_factor > 0 ? lift_factor * fall : std::exp(lift - tilt * above)));
  }
  return shift;
}

}  // namespace

LatticeLoss OnLattice(const TiltedLoss& loss, double tilt, double spacing) {
  LatticeLoss made;
  made.origin = loss.loss[loss.anchor];
  made.spacing = spacing;
  made.index.reserve(2 * loss.loss.size());
  made.mass.reserve(2 * loss.loss.size());
  std::int64_t last = 0;
  made.shift = RoundToLattice(
      loss, tilt, spacing,
      [&](std::int64_t index, double mass) {
        Add(made, index, mass);
        last = index;
      },
      [&](double mass) { Add(made, last + 1, mass); });
  return made;
}

double MassOnLattice(const TiltedLoss& loss, double tilt, double spacing) {
  double sum = 0;
  const auto add = [&](double mass) { sum += mass; };
  RoundToLattice(
      loss, tilt, spacing, [&](std::int64_t, double mass) { add(mass); }, add);
  return sum;
}

}  // namespace cloister::dp
