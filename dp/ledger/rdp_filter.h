#pragma once

#include <span>
#include <vector>

#include "base/result.h"
#include "dp/ledger/ledger.h"

namespace cloister::dp {

// The filter that keeps a data set's spends within its budget when every job, and every event, may
// have been chosen after seeing all earlier outputs (Feldman, Zrnic 2021, "Individual privacy
// accounting via a Rényi filter", Theorem 4.5; Lécuyer 2021, "Practical privacy filters and
// odometers with Rényi differential privacy", Theorem 1). It looks at Rényi orders fixed
// beforehand: as long as the sum of the divergences of order α is at most B(α), where B(α) is the
// divergence that converts to (ε, δ), everything released so far is (ε, δ)-DP together. The
// argument needs an α that does not depend on outputs: choosing the best order afterwards, as an
// accountant of a plan may, would not be covered. So an order is chosen at a data set's first
// spend, from that event alone, and stays.

// The order under which most repeats of `event` fit the budget.
double FilterOrder(const Event& event, const PrivacyBudget& budget);

// kResourceExhausted when `events` together pass the budget at one of `orders`; the message ends
// with the budget, and what would mend it is dp/ledger/refusal.h's to say. Of δ a millionth is
// set aside for the events' delta_slack, so that B(α) does not depend on what is spent.
base::Status CheckWithinBudget(std::span<const Event> events, std::span<const double> orders,
                               const PrivacyBudget& budget);

// ε at `delta` of `events`, the largest over `orders`: what of a budget is used up. Infinity for
// events without orders.
double FilterEpsilon(std::span<const Event> events, std::span<const double> orders, double delta);

// How much of the divergence that the budget allows `events` have used, the largest share over
// `orders`; above 1 where CheckWithinBudget would refuse. Unlike ε it grows in proportion: ε begins
// at what an order costs before anything is released. Infinity for events without orders.
double FilterShare(std::span<const Event> events, std::span<const double> orders,
                   const PrivacyBudget& budget);

}  // namespace cloister::dp
