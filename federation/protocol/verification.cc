#include "federation/protocol/verification.h"

#include <algorithm>
#include <set>

#include "base/check.h"
#include "security/random.h"

namespace cloister::federation::protocol {
namespace {

tl::unexpected<base::Error> Malformed(const std::string& what) {
  return base::Fail(base::Code::kDataLoss, what);
}

// A point of low order gives an all-zero secret with any private key.
bool LowOrder(const security::X25519PublicKey& key) {
  return !security::X25519(security::RandomSecret(kSecretBytes), key).has_value();
}

}  // namespace

std::string SiteLabel(const Terms& terms, SiteIndex site) {
  if (site < terms.sites.size()) return "site '" + terms.sites[site].name + "'";
  return "unknown site " + std::to_string(site);
}

std::string SiteLabels(const Terms& terms, const std::vector<SiteIndex>& sites) {
  std::string text;
  for (const SiteIndex site : sites) text += (text.empty() ? "" : ", ") + SiteLabel(terms, site);
  return text.empty() ? "none" : text;
}

bool StrictlyAscending(const std::vector<SiteIndex>& sites) {
  return std::adjacent_find(sites.begin(), sites.end(), std::greater_equal<>()) == sites.end();
}

bool Contains(const std::vector<SiteIndex>& ascending, SiteIndex site) {
  return std::binary_search(ascending.begin(), ascending.end(), site);
}

base::Status CheckAdvertisement(const Terms& terms, const AttemptId& attempt,
                                const Advertisement& advertisement) {
  const std::string label = SiteLabel(terms, advertisement.site);
  if (advertisement.site >= terms.sites.size()) {
    return base::Fail(base::Code::kFailedPrecondition,
                      "advertisement of " + label + ": the job does not name this site");
  }
  if (advertisement.attempt != attempt) {
    return Malformed("advertisement of " + label +
                     " is for another job, round or attempt: it may be a replay");
  }
  CLOISTER_RETURN_IF_ERROR(
      CheckSignature(terms, advertisement.site, advertisement, "advertisement"));
  if (advertisement.share_key == advertisement.mask_key || LowOrder(advertisement.share_key) ||
      LowOrder(advertisement.mask_key)) {
    return Malformed("advertisement of " + label + " holds keys that no honest site makes");
  }
  return {};
}

base::Status CheckRoster(const Terms& terms, const AttemptId& attempt, const Roster& roster) {
  if (roster.entries.size() < SmallestCohort(terms.parameters)) {
    return base::Fail(base::Code::kFailedPrecondition,
                      "roster of " + std::to_string(roster.entries.size()) + " sites: at least " +
                          std::to_string(SmallestCohort(terms.parameters)) +
                          " must take part, so that no update stands alone");
  }
  if (!StrictlyAscending(SitesOf(roster)))
    return Malformed("roster: a site is out of order or twice there");
  std::set<security::X25519PublicKey> keys;
  for (const Advertisement& entry : roster.entries) {
    if (auto status = CheckAdvertisement(terms, attempt, entry); !status) {
      return base::Annotate(std::move(status), "roster");
    }
    if (!keys.insert(entry.share_key).second || !keys.insert(entry.mask_key).second) {
      return Malformed("roster: " + SiteLabel(terms, entry.site) + " shows another site's key");
    }
  }
  return {};
}

std::vector<SiteIndex> SitesOf(const Roster& roster) {
  std::vector<SiteIndex> sites;
  for (const Advertisement& entry : roster.entries) sites.push_back(entry.site);
  return sites;
}

const Advertisement* EntryOf(const Roster& roster, SiteIndex site) {
  for (const Advertisement& entry : roster.entries) {
    if (entry.site == site) return &entry;
  }
  return nullptr;
}

base::Status CheckCommitments(const Terms& terms, const Digest& binding, const Roster& roster,
                              const DealCommitments& commitments) {
  const std::string label = SiteLabel(terms, commitments.dealer);
  if (commitments.binding != binding) {
    return Malformed("commitments of " + label + " are bound to another attempt or roster");
  }
  if (EntryOf(roster, commitments.dealer) == nullptr) {
    return Malformed("commitments of " + label + ", which is not in the roster");
  }
  CLOISTER_RETURN_IF_ERROR(CheckSignature(terms, commitments.dealer, commitments, "commitments"));
  std::vector<SiteIndex> holders;
  for (const HolderCommitment& entry : commitments.holders) holders.push_back(entry.holder);
  if (holders != SitesOf(roster)) {
    return Malformed("commitments of " + label + " are not for exactly the sites of the roster");
  }
  return {};
}

const HolderCommitment& CommitmentTo(const DealCommitments& commitments, SiteIndex holder) {
  const auto found =
      std::find_if(commitments.holders.begin(), commitments.holders.end(),
                   [holder](const HolderCommitment& entry) { return entry.holder == holder; });
  CLOISTER_CHECK(found != commitments.holders.end());
  return *found;
}

base::Status CheckSurvivors(const Terms& terms, const std::vector<SiteIndex>& dealers,
                            const std::vector<SiteIndex>& survivors) {
  if (!StrictlyAscending(survivors)) {
    return Malformed("survivor set: a site is out of order or twice there");
  }
  if (survivors.size() < SmallestCohort(terms.parameters)) {
    return base::Fail(base::Code::kFailedPrecondition,
                      "survivor set of " + std::to_string(survivors.size()) + " sites: at least " +
                          std::to_string(SmallestCohort(terms.parameters)) +
                          " updates must be in a sum that is opened");
  }
  for (const SiteIndex site : survivors) {
    if (!Contains(dealers, site)) {
      return base::Fail(base::Code::kFailedPrecondition, "survivor set: " + SiteLabel(terms, site) +
                                                             " dealt no shares to this site");
    }
  }
  return {};
}

base::Status CheckVote(const Terms& terms, const Digest& binding, const Digest& agreement,
                       const std::vector<SiteIndex>& survivors, const CommitVote& vote) {
  const std::string label = "commit vote of " + SiteLabel(terms, vote.site);
  if (!Contains(survivors, vote.site)) {
    return base::Fail(base::Code::kFailedPrecondition, label + ", which is not a survivor");
  }
  if (vote.binding != binding) return Malformed(label + " is for another attempt or roster");
  CLOISTER_RETURN_IF_ERROR(CheckSignature(terms, vote.site, vote, "commit vote"));
  if (vote.survivors != survivors) {
    return base::Fail(base::Code::kFailedPrecondition,
                      label +
                          " names another survivor set: the coordinator told sites different "
                          "things");
  }
  if (vote.agreement != agreement) {
    return base::Fail(base::Code::kFailedPrecondition,
                      label +
                          " is about other deals or another model, plan or quantizer: the "
                          "coordinator told sites different things");
  }
  return {};
}

}  // namespace cloister::federation::protocol
