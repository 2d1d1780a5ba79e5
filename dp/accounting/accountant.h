#pragma once

#include <span>
#include <string_view>

#include "base/result.h"
#include "dp/mechanism/event.h"

namespace cloister::dp {

// Two ways to bound what a composition costs. PLD is tight; RDP is what stays valid when events are
// chosen after seeing earlier outputs, and what the ledger's filter enforces.
enum class Accountant { kPld, kRdp };

std::string_view AccountantName(Accountant accountant);  // "pld", "rdp"
base::Result<Accountant> ParseAccountant(std::string_view name);

struct PrivacyCost {
  double epsilon = 0;  // infinity where there is no bound
  double delta = 0;
  Accountant accountant{};  // whose bound it is
};

// The cost of `events`, all of one neighbour relation. An answer asked of PLD is RDP's, and says
// so, where PLD does not cover an event or rounding leaves its bound above RDP's; and below a δ of
// 1e-12, where it is a Rényi bound of steps without their large losses (capped_moments.h), mostly
// far below RdpEpsilon's, at most half a percent above, and in order in every argument. Errors as
// pld_accountant.h and rdp_accountant.h have them.
base::Result<PrivacyCost> CostAtDelta(std::span<const Event> events, double delta,
                                      Accountant accountant);
// The ε that a run prints: of a plan that was fixed before its first release, for which PLD's
// figure holds.
base::Result<double> PlanEpsilon(std::span<const Event> events, double delta);
base::Result<PrivacyCost> CostAtEpsilon(std::span<const Event> events, double epsilon,
                                        Accountant accountant);

}  // namespace cloister::dp
