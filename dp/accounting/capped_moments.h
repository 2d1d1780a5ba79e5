#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "dp/accounting/privacy_loss.h"

namespace cloister::dp {

// Upper bounds from a composition's moments once its large losses are taken out, for δ so small
// that no lattice tells them: some percent of ε above the true one, where RDP may be hundreds of
// times, and in order. Of events of one relation, each valid and with a step loss, in one
// direction.
//
// Let r = P/Q of a step, λ > 0 and s = e^cap. P is its least with sQ, min(P, sQ), and a rest of
// mass δ₁(cap) = E_Q[(r - s)₊]. The rests of all steps add at most Σ steps · δ₁ to δ; of what is
// left the likelihood ratio R is a product, and with E = e^ε
//   E_Q[(R - E)₊] <= E^{-λ} (1 - 1/(λ+1))^λ / (λ+1) · E_Q[R^{λ+1}]
// (Canonne, Kamath, Steinke 2020, Prop. 12). Its moment is a product of steps', each at most
// E_Q[φ(r)] for the convex φ that is r^{λ+1} up to s and goes on in a straight line.
//
// δ₁ and E_Q[φ] are f-divergences: neither falls when a step reveals more, as with less noise or
// more sampling, and E_Q[φ] is not below 1. So every pair (λ, cap) has bounds in order, in every
// argument, and so has the least of them over a set of pairs that does not depend on the question.
class CappedMoments {
 public:
  // Tails of a millionth of exp(log_delta), the least δ that will be asked about, are cut off and
  // added.
  CappedMoments(std::span<const Event> events, Direction direction, double log_delta);

  // The least ε >= 0 that these bounds show at exp(log_delta), infinity where there is none; and
  // log δ at ε.
  double Epsilon(double log_delta) const;
  double LogDelta(double epsilon) const;

 private:
  struct Moment {
    double tilt = 0;  // λ
    std::size_t cap = 0;
    double log_value = 0;
  };

  void AddSteps(const PrivacyLoss& step, double steps);
  // Calls visit(moment, log of what e^{-λε} is multiplied with) for all.
  template <typename Visit>
  void ForMoments(const Visit& visit) const;

  std::vector<double> beyond_;  // Σ steps · δ₁, at each cap
  std::vector<Moment> moments_;
};

}  // namespace cloister::dp
