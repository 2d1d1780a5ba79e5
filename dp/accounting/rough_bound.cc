#include "dp/accounting/rough_bound.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "dp/accounting/composed_loss.h"
#include "dp/accounting/rdp_conversion.h"
#include "dp/accounting/saddle_point.h"
#include "dp/accounting/tilted_loss.h"

namespace cloister::dp {
namespace {

constexpr double kRounding = 4e-16;
constexpr double kError = 1e-12;  // of the tilted mass: it moves a tilt that is not used here
constexpr double kErrorShare = 3e-3;

struct Divergence {
  double order = 0;
  double value = 0;
  double infinity_mass = 0;
};

// At the order that suits `target`. The losses that choose it may be those of other events
// (CoarseEvent); the divergence is that of the events' own.
Divergence DivergenceFor(std::span<const Event> events, Direction direction, const Target& target,
                         double least) {
  const std::vector<Kind> kinds = KindsOf(events);
  const double tail = TailFor(least, StepsOf(kinds));
  const CoarseLosses coarse(kinds, direction, tail);
  const double tilt = FindSaddle(coarse, target, kError, kErrorShare).slope;
  Divergence made;
  made.order = tilt + 1;
  double log_moment = 1e-9;
  for (const Kind& kind : kinds) {
    const PrivacyLoss step = StepLoss(kind.event, direction, {CoarseLosses::kCell, tail});
    const double size = std::max(-step.loss.front(), step.loss.back());
    log_moment += kind.steps *
                  (CumulantOf(step, tilt).value + kQuadratureError + kRounding * (4 + tilt * size));
    made.infinity_mass += kind.steps * step.infinity_mass;
  }
  made.value = log_moment / tilt;
  return made;
}

}  // namespace

double RoughLogDelta(std::span<const Event> events, Direction direction, double epsilon,
                     double least) {
  const Divergence at = DivergenceFor(events, direction, {false, epsilon}, least);
  return std::log(std::min(1.0, DeltaOfRdp(at.order, at.value, epsilon) + at.infinity_mass));
}

double RoughEpsilon(std::span<const Event> events, Direction direction, double log_delta) {
  const double delta = std::exp(log_delta);
  const Divergence at = DivergenceFor(events, direction, {true, delta}, log_delta);
  const double left = delta - at.infinity_mass;
  if (!(left > 0) || std::isnan(at.value)) return std::numeric_limits<double>::infinity();
  return EpsilonOfRdp(at.order, at.value, left);
}

}  // namespace cloister::dp
