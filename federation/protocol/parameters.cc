#include "federation/protocol/parameters.h"

#include <algorithm>
#include <set>

#include "federation/protocol/encoding.h"

namespace cloister::federation::protocol {
namespace {

constexpr std::size_t kMaximumName = 64;

tl::unexpected<base::Error> Refuse(const std::string& what) {
  return base::Fail(base::Code::kInvalidArgument, "secure aggregation, job: " + what);
}

}  // namespace

std::uint32_t ThresholdOf(std::uint32_t sites) { return 2 * sites / 3 + 1; }

Parameters ParametersFor(std::uint32_t sites, std::uint32_t colluders,
                         std::uint32_t minimum_cohort) {
  return {sites, ThresholdOf(sites), colluders, minimum_cohort};
}

base::Status Validate(const Parameters& parameters) {
  const std::uint32_t n = parameters.sites;
  const std::uint32_t t = parameters.threshold;
  const std::uint32_t c = parameters.colluders;
  if (n < kMinimumCohort || n > kMaximumSites) {
    return Refuse("it names " + std::to_string(n) + " sites: name " +
                  std::to_string(kMinimumCohort) + " to " + std::to_string(kMaximumSites));
  }
  if (t != ThresholdOf(n)) {
    return Refuse("threshold " + std::to_string(t) + " is not floor(2n/3) + 1 = " +
                  std::to_string(ThresholdOf(n)) + " for " + std::to_string(n) + " sites");
  }
  if (c >= t || t - c < 2 || 2 * t <= n + c) {
    return Refuse(std::to_string(c) + " colluding sites of " + std::to_string(n) +
                  " cannot be borne at threshold " + std::to_string(t) +
                  ": name fewer colluders or more sites");
  }
  if (parameters.minimum_cohort < kMinimumCohort || parameters.minimum_cohort > n) {
    return Refuse("minimum cohort " + std::to_string(parameters.minimum_cohort) +
                  ": choose between " + std::to_string(kMinimumCohort) +
                  " and the number of sites, " + std::to_string(n));
  }
  return {};
}

std::uint32_t SmallestCohort(const Parameters& parameters) {
  return std::max({parameters.threshold, parameters.minimum_cohort, kMinimumCohort});
}

base::Status Validate(const Terms& terms) {
  CLOISTER_RETURN_IF_ERROR(Validate(terms.parameters));
  if (terms.sites.size() != terms.parameters.sites) {
    return Refuse("it lists " + std::to_string(terms.sites.size()) + " sites, but n is " +
                  std::to_string(terms.parameters.sites));
  }
  if (terms.words == 0 || terms.words > kMaximumWords) {
    return Refuse(std::to_string(terms.words) + " words: sum between 1 and " +
                  std::to_string(kMaximumWords));
  }
  std::set<std::string> names;
  std::set<security::Ed25519PublicKey> keys;
  for (const SiteIdentity& site : terms.sites) {
    if (site.name.empty() || site.name.size() > kMaximumName) {
      return Refuse("a site's name must have 1 to " + std::to_string(kMaximumName) + " bytes");
    }
    if (!names.insert(site.name).second) return Refuse("site '" + site.name + "' is listed twice");
    if (!keys.insert(site.key).second) {
      return Refuse("the identity key of site '" + site.name + "' is listed twice");
    }
  }
  return {};
}

security::Sha256Digest HashContext(const RoundContext& context) {
  Writer writer;
  writer.String(std::string_view("cloister/secure-sum/1/context"));
  writer.Fixed(context.model).Fixed(context.plan).U64(context.round).Fixed(context.quantizer);
  return security::HashBytes(writer.bytes());
}

}  // namespace cloister::federation::protocol
