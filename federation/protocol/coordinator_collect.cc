// Phases 0 and 1 of the coordinator: Advertising and Sharing.

#include <string>
#include <utility>

#include "base/check.h"
#include "federation/protocol/collection.h"
#include "federation/protocol/coordinator_session.h"
#include "federation/protocol/verification.h"

namespace cloister::federation::protocol {

base::Status CheckNotSpent(const CoordinatorAttempt& attempt) {
  if (attempt.terms != nullptr) return {};
  return base::Fail(base::Code::kFailedPrecondition,
                    "secure aggregation: this phase is over: the message came too late");
}

base::Result<Advertising> Advertising::Start(std::shared_ptr<const Terms> terms,
                                             const AttemptId& attempt, const Digest& context) {
  CLOISTER_CHECK(terms != nullptr);
  CLOISTER_RETURN_IF_ERROR(Validate(*terms));
  if (attempt.job != terms->job) {
    return base::Fail(base::Code::kInvalidArgument,
                      "secure aggregation: the attempt belongs to another job");
  }
  Advertising state;
  state.attempt_ = {std::move(terms), attempt, context};
  return state;
}

base::Status Advertising::Add(const Advertisement& advertisement) {
  CLOISTER_RETURN_IF_ERROR(CheckNotSpent(attempt_));
  CLOISTER_RETURN_IF_ERROR(CheckAdvertisement(*attempt_.terms, attempt_.attempt, advertisement));
  for (const auto& [site, entry] : entries_) {
    if (site == advertisement.site) continue;
    for (const security::X25519PublicKey& key : {entry.share_key, entry.mask_key}) {
      if (key == advertisement.share_key || key == advertisement.mask_key) {
        return base::Fail(base::Code::kFailedPrecondition,
                          "advertisement of " + SiteLabel(*attempt_.terms, advertisement.site) +
                              " shows a key of " + SiteLabel(*attempt_.terms, site));
      }
    }
  }
  return TakeOnce(*attempt_.terms, entries_, advertisement.site, advertisement);
}

bool Advertising::complete() const {
  return attempt_.terms != nullptr && entries_.size() == attempt_.terms->sites.size();
}

base::Result<Step<Sharing, Roster>> Advertising::Close() && {
  Advertising state = std::move(*this);
  CLOISTER_RETURN_IF_ERROR(CheckNotSpent(state.attempt_));
  const Terms& terms = *state.attempt_.terms;
  std::vector<SiteIndex> named(terms.sites.size());
  for (std::size_t i = 0; i < named.size(); ++i) named[i] = static_cast<SiteIndex>(i);
  CLOISTER_RETURN_IF_ERROR(
      CheckEnough(terms, named, state.entries_, SmallestCohort(terms.parameters), "advertised"));
  Roster roster;
  for (const auto& [site, entry] : state.entries_) roster.entries.push_back(entry);
  Sharing next;
  next.attempt_ = state.attempt_;
  next.binding_ = Binding(state.attempt_.attempt, roster);
  next.roster_ = roster;
  return Step<Sharing, Roster>{std::move(next), std::move(roster)};
}

base::Status Sharing::Add(const Deal& deal) {
  CLOISTER_RETURN_IF_ERROR(CheckNotSpent(attempt_));
  const Terms& terms = *attempt_.terms;
  const SiteIndex dealer = deal.commitments.dealer;
  CLOISTER_RETURN_IF_ERROR(CheckCommitments(terms, binding_, roster_, deal.commitments));
  std::vector<SiteIndex> holders = SitesOf(roster_);
  std::erase(holders, dealer);
  std::vector<SiteIndex> recipients;
  for (const SealedShares& entry : deal.shares) recipients.push_back(entry.site);
  if (recipients != holders) {
    return base::Fail(base::Code::kDataLoss,
                      "share message of " + SiteLabel(terms, dealer) +
                          " is not for exactly the other sites of the roster");
  }
  for (const SealedShares& entry : deal.shares) {
    if (security::HashBytes(entry.sealed) != CommitmentTo(deal.commitments, entry.site).sealed) {
      return base::Fail(base::Code::kDataLoss, "share message of " + SiteLabel(terms, dealer) +
                                                   " to " + SiteLabel(terms, entry.site) +
                                                   " misses the hash that it signed");
    }
  }
  return TakeOnce(terms, deals_, dealer, deal);
}

bool Sharing::complete() const { return deals_.size() == roster_.entries.size(); }

std::vector<SiteIndex> Sharing::cohort() const { return SitesOf(roster_); }

base::Result<Step<Uploading, std::map<SiteIndex, Delivery>>> Sharing::Close() && {
  Sharing state = std::move(*this);
  CLOISTER_RETURN_IF_ERROR(CheckNotSpent(state.attempt_));
  const Terms& terms = *state.attempt_.terms;
  CLOISTER_RETURN_IF_ERROR(CheckEnough(terms, SitesOf(state.roster_), state.deals_,
                                       SmallestCohort(terms.parameters), "dealt shares"));
  Uploading next;
  next.attempt_ = state.attempt_;
  next.binding_ = state.binding_;
  next.roster_ = std::move(state.roster_);
  std::vector<DealCommitments> commitments;
  for (const auto& [dealer, deal] : state.deals_) {
    commitments.push_back(deal.commitments);
    next.deals_.emplace(dealer, deal.commitments);
    next.partial_.emplace(dealer, PartialUpload(state.binding_, dealer, terms.words));
  }
  next.sharing_ = SharingHash(state.binding_, commitments);
  next.masked_sum_.assign(terms.words, 0);
  std::map<SiteIndex, Delivery> deliveries;
  for (const auto& [recipient, own] : state.deals_) {
    Delivery delivery{state.binding_, recipient, commitments, {}};
    for (const auto& [dealer, deal] : state.deals_) {
      for (const SealedShares& entry : deal.shares) {
        if (entry.site == recipient) delivery.shares.push_back({dealer, entry.sealed});
      }
    }
    deliveries.emplace(recipient, std::move(delivery));
  }
  return Step<Uploading, std::map<SiteIndex, Delivery>>{std::move(next), std::move(deliveries)};
}

}  // namespace cloister::federation::protocol
