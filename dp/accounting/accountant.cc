#include "dp/accounting/accountant.h"

#include <cmath>
#include <string>

#include "dp/accounting/pld_accountant.h"
#include "dp/accounting/rdp_accountant.h"

namespace cloister::dp {
namespace {

struct Bound {
  double value = 0;
  Accountant accountant{};
};

// Moments bound Rényi divergences, here of what is left of a step without its large losses.
Accountant NameOf(const PldBound& pld) {
  return pld.by_moments ? Accountant::kRdp : Accountant::kPld;
}

// The better of two bounds, `pld` being taken alone where nothing says that it could be bettered.
template <typename Rdp>
base::Result<Bound> Better(const base::Result<PldBound>& pld, double nothing, const Rdp& rdp) {
  if (!pld && pld.error().code != base::Code::kUnimplemented) return tl::unexpected(pld.error());
  if (pld && pld->value < nothing && !pld->loose) return Bound{pld->value, NameOf(*pld)};
  const base::Result<double> other = rdp();
  if (!pld) {
    if (!other) return tl::unexpected(pld.error());
    return Bound{*other, Accountant::kRdp};
  }
  if (other && *other < pld->value) return Bound{*other, Accountant::kRdp};
  return Bound{pld->value, NameOf(*pld)};
}

}  // namespace

std::string_view AccountantName(Accountant accountant) {
  return accountant == Accountant::kPld ? "pld" : "rdp";
}

base::Result<Accountant> ParseAccountant(std::string_view name) {
  for (const Accountant accountant : {Accountant::kPld, Accountant::kRdp}) {
    if (name == AccountantName(accountant)) return accountant;
  }
  return base::Fail(base::Code::kInvalidArgument,
                    "'" + std::string(name.substr(0, 80)) + "' is no accountant: use pld or rdp");
}

base::Result<PrivacyCost> CostAtDelta(std::span<const Event> events, double delta,
                                      Accountant accountant) {
  if (accountant == Accountant::kRdp) {
    CLOISTER_ASSIGN_OR_RETURN(const double epsilon, RdpEpsilon(events, delta));
    return PrivacyCost{epsilon, delta, accountant};
  }
  CLOISTER_ASSIGN_OR_RETURN(const Bound bound, Better(PldEpsilonBound(events, delta), INFINITY,
                                                      [&] { return RdpEpsilon(events, delta); }));
  return PrivacyCost{bound.value, delta, bound.accountant};
}

base::Result<double> PlanEpsilon(std::span<const Event> events, double delta) {
  CLOISTER_ASSIGN_OR_RETURN(const PrivacyCost cost, CostAtDelta(events, delta, Accountant::kPld));
  return cost.epsilon;
}

base::Result<PrivacyCost> CostAtEpsilon(std::span<const Event> events, double epsilon,
                                        Accountant accountant) {
  if (accountant == Accountant::kRdp) {
    CLOISTER_ASSIGN_OR_RETURN(const double delta, RdpDelta(events, epsilon));
    return PrivacyCost{epsilon, delta, accountant};
  }
  CLOISTER_ASSIGN_OR_RETURN(const Bound bound, Better(PldDeltaBound(events, epsilon), 1,
                                                      [&] { return RdpDelta(events, epsilon); }));
  return PrivacyCost{epsilon, bound.value, bound.accountant};
}

}  // namespace cloister::dp
