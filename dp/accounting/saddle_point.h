#pragma once

#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "dp/accounting/composed_loss.h"

namespace cloister::dp {

// Equal steps of a composition.
struct Kind {
  Event event;
  double steps;
};

// Events that differ in steps alone are one kind; unsampled Gaussians compose to a Gaussian,
// exactly.
std::vector<Kind> KindsOf(std::span<const Event> events);
double StepsOf(std::span<const Kind> kinds);

// The event whose losses stand for those of `event` in choosing a tilt: itself, but for discrete
// Gaussians of large sigma, which have many losses and for which a Gaussian will do.
Event CoarseEvent(Event event);

// The tail of each step that may become infinity mass, where δ is about exp(log_delta).
double TailFor(double log_delta, double steps);

// Losses of all kinds on few nodes: quick to look at under many tilts.
class CoarseLosses {
 public:
  static constexpr double kCell = 0.1;

  // Losses above `cap` are left out.
  CoarseLosses(std::span<const Kind> kinds, Direction direction, double tail,
               double cap = std::numeric_limits<double>::infinity());

  // log of what δ at ε would be if one loss alone decided it: not far below δ where large losses
  // are rare, no bound of anything elsewhere. And the least ε >= 0 at which it is exp(log_delta).
  double LogDeltaOfOne(double epsilon) const;
  double EpsilonOfOne(double log_delta) const;
  // Leaves out what LargeLosses would, and returns the cap.
  double LeaveOutLarge(double epsilon, double most);

  Cumulant At(double tilt) const;  // of the composition
  double Spread() const;           // of the losses of a step

  // By how much these nodes raise log δ: at `tilt`, as they raise the mass there; and where one
  // loss alone, at ε, decides δ, which falls there with `slope`.
  double NodeRise(double tilt) const;
  double LocalRise(double epsilon, double slope) const;

 private:
  std::vector<PrivacyLoss> losses_;
  std::vector<double> steps_;
};

// Where a composition is to be known: at ε, where log δ falls with ε by about `slope`.
struct Saddle {
  double tilt = 0;
  double slope = 0;
  double epsilon = 0;
  double deviation = 0;
  double log_delta = 0;
};

// A guess of all that, by the saddle point method; no bound of anything. The tilt that moves the
// mean to ε, the slope there, would do best were losses nearly normal. A smaller one keeps rare
// large losses from taking all the mass, and is enough where `error` in the tilted mass comes to at
// most `error_share` of δ once the tilt is taken back: of exp(log_delta), where that is known.
Saddle FindSaddle(const CoarseLosses& coarse, const Target& target, double error,
                  double error_share, std::optional<double> log_delta = std::nullopt);

}  // namespace cloister::dp
