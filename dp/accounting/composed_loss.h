#pragma once

#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "dp/accounting/large_losses.h"
#include "dp/accounting/tilted_loss.h"

namespace cloister::dp {

// What one wants to know of a composition, so that it is computed most exactly there.
struct Target {
  bool at_delta = true;  // ε at `value`; else δ at it
  double value = 0;
  // Of ε, or of log δ: what is not larger need not be known any better, since another direction is
  // as large.
  double enough = -std::numeric_limits<double>::infinity();
};

// The most that a unit of tilted mass, wherever its loss, can add to δ(ε) exp(tilt ε):
// max over d >= 0 of e^{-tilt d} (1 - e^{-d}).
double WorstPlace(double tilt);

// The privacy loss distribution of a whole composition, near a target.
class ComposedLoss {
 public:
  // What the tilt took out: δ(ε) is exp(log_scale) times the sum over losses of
  // mass · exp(-tilt · loss) · (1 - exp(ε - loss))₊, plus infinity mass and what large losses add.
  struct Scale {
    double tilt = 0;
    double log_scale = 0;
    double infinity_mass = 0;
    LargeLosses large;
    double loss_margin = 0;  // losses may be too low by so much
  };
  ComposedLoss(const TiltedLoss& loss, const Scale& scale);

  // log δ at ε, an upper bound. Exact near the target; elsewhere still a bound, but a loose one.
  double LogDelta(double epsilon) const;
  // The least ε at which δ is within exp(log_delta), never too small; not below the lowest loss
  // that is kept. Infinity where infinity mass alone is more.
  double Epsilon(double log_delta) const;
  // By how much log δ falls with ε, there.
  double Slope(double epsilon) const;
  // The share of δ at ε that is a bound on errors and on what was cut off.
  double ErrorShare(double epsilon) const;
  // That bound, as tilted mass at its worst place.
  double Error() const;
  // Whether some lattice is wider than was asked for, to be short enough.
  bool IsCoarse() const { return coarse_; }
  // Above it, losses of a step are not in the composition.
  double Cap() const { return scale_.large.Cap(); }

 private:
  double LogFinite(double epsilon) const;

  Scale scale_;
  double spacing_ = 1;
  double stray_ = 0;
  bool coarse_ = false;
  std::vector<double> loss_;
  // From each loss on, with tilts as seen from it: Σ mass e^{-(tilt+1) d} and
  // Σ mass e^{-tilt d} (1 - e^{-d}), d being the distance.
  std::vector<double> lower_;
  std::vector<double> excess_;
};

// 1e-12: no smaller δ is looked for. Below, where a composition stands among the errors of its
// transforms may depend on small things, so that answers would be out of order by tens of percent.
inline constexpr double kLeastLogDelta = -27.631021115928547;

// Events of one relation, each valid and with a step loss, composed in one direction. Nothing where
// that would take lattices that are too long (compose_losses.h).
std::optional<ComposedLoss> ComposeEvents(std::span<const Event> events, Direction direction,
                                          const Target& target);

}  // namespace cloister::dp
