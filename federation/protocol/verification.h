#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "federation/protocol/messages.h"
#include "federation/protocol/parameters.h"

namespace cloister::federation::protocol {

// Checks that both ends make: on the coordinator's word a site would believe anything. All give
// kDataLoss for a message of another attempt or of wrong form, kUnauthenticated for a signature
// that is not the named site's, each naming the site. Thread-safe.

// "site 'name'", or its index where the job names no such site.
std::string SiteLabel(const Terms& terms, SiteIndex site);
std::string SiteLabels(const Terms& terms, const std::vector<SiteIndex>& sites);

bool StrictlyAscending(const std::vector<SiteIndex>& sites);
bool Contains(const std::vector<SiteIndex>& ascending, SiteIndex site);

// Index, attempt, signature; two different keys, neither of low order.
base::Status CheckAdvertisement(const Terms& terms, const AttemptId& attempt,
                                const Advertisement& advertisement);
// The entries in order, each good, no key twice, at least SmallestCohort of them.
base::Status CheckRoster(const Terms& terms, const AttemptId& attempt, const Roster& roster);
std::vector<SiteIndex> SitesOf(const Roster& roster);
// nullptr for a site that is not in the roster.
const Advertisement* EntryOf(const Roster& roster, SiteIndex site);

// Binding, a dealer of the roster, one commitment for each site of the roster, signature.
base::Status CheckCommitments(const Terms& terms, const Digest& binding, const Roster& roster,
                              const DealCommitments& commitments);
const HolderCommitment& CommitmentTo(const DealCommitments& commitments, SiteIndex holder);

// A survivor set of at least SmallestCohort sites, all of them dealers.
base::Status CheckSurvivors(const Terms& terms, const std::vector<SiteIndex>& dealers,
                            const std::vector<SiteIndex>& survivors);

// A vote of a member of `survivors` for exactly this binding, agreement and set.
base::Status CheckVote(const Terms& terms, const Digest& binding, const Digest& agreement,
                       const std::vector<SiteIndex>& survivors, const CommitVote& vote);

template <typename Message>
base::Status CheckSignature(const Terms& terms, SiteIndex site, const Message& message,
                            const std::string& what) {
  if (site < terms.sites.size() &&
      security::VerifyEd25519(terms.sites[site].key, SignedBytes(message), message.signature)) {
    return {};
  }
  return base::Fail(base::Code::kUnauthenticated,
                    what + " of " + SiteLabel(terms, site) +
                        ": the signature is not by the identity key that the job names: check who "
                        "sent it");
}

}  // namespace cloister::federation::protocol
