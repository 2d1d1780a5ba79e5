// Phases 3 and 4 of a site: Masked and Committed.

#include <algorithm>
#include <string>
#include <utility>

#include "federation/protocol/site_session.h"
#include "federation/protocol/verification.h"

namespace cloister::federation::protocol {
namespace {

void Copy(const security::SecretBytes& from, std::array<std::uint8_t, kSecretBytes>& to) {
  std::copy(from.bytes().begin(), from.bytes().end(), to.begin());
}

RevealedShare Open(SiteIndex dealer, const HeldShares& held, bool survived) {
  RevealedShare entry;
  entry.dealer = dealer;
  entry.kind = survived ? ShareKind::kSeed : ShareKind::kMaskKey;
  Copy(survived ? held.seed_share : held.mask_share, entry.share);
  Copy(survived ? held.seed_salt : held.mask_salt, entry.salt);
  return entry;
}

// At least t valid votes on exactly what this site voted for, and none that is not.
base::Status CheckVotes(const SiteAttempt& site, const CommitVote& own, const CommitVotes& votes) {
  const Terms& terms = *site.terms;
  std::vector<SiteIndex> voters;
  for (const CommitVote& vote : votes.votes) voters.push_back(vote.site);
  if (votes.binding != own.binding || !StrictlyAscending(voters)) {
    return base::Fail(base::Code::kDataLoss,
                      "commit votes belong to another attempt, or one is out of order or twice "
                      "there");
  }
  if (voters.size() < terms.parameters.threshold) {
    return base::Fail(base::Code::kFailedPrecondition,
                      std::to_string(voters.size()) + " commit votes: nothing is revealed below " +
                          std::to_string(terms.parameters.threshold));
  }
  for (const CommitVote& vote : votes.votes) {
    CLOISTER_RETURN_IF_ERROR(CheckVote(terms, own.binding, own.agreement, own.survivors, vote));
  }
  return {};
}

}  // namespace

base::Result<Durable<Committed, CommitVote>> Masked::Commit(const SurvivorSet& set,
                                                            const PastChoices& past) && {
  Masked state = std::move(*this);
  CLOISTER_RETURN_IF_ERROR(CheckNotSpent(state.site_));
  const Terms& terms = *state.site_.terms;
  if (set.binding != state.binding_) {
    return base::Fail(base::Code::kDataLoss, "survivor set belongs to another attempt or roster");
  }
  std::vector<SiteIndex> dealers;
  for (const auto& [dealer, shares] : state.held_) dealers.push_back(dealer);
  CLOISTER_RETURN_IF_ERROR(protocol::CheckSurvivors(terms, dealers, set.survivors));
  if (!Contains(set.survivors, state.site_.self)) {
    return base::Fail(base::Code::kFailedPrecondition,
                      "survivor set: this site is not in it, so it does not vote for it");
  }
  CommitVote vote{state.binding_, state.agreement_, set.survivors, state.site_.self, {}};
  CLOISTER_RETURN_IF_ERROR(past.CheckCommit(state.site_.attempt, vote));
  vote.signature = security::SignEd25519(*state.site_.identity, SignedBytes(vote));
  Committed next;
  next.site_ = state.site_;
  next.vote_ = vote;
  next.held_ = std::move(state.held_);
  Bytes record = CommitRecord(next.site_.attempt, vote);
  return Durable<Committed, CommitVote>(std::move(record), {std::move(next), std::move(vote)});
}

base::Status Committed::CheckSurvivors(const SurvivorSet& set) const {
  CLOISTER_RETURN_IF_ERROR(CheckNotSpent(site_));
  if (set.binding == vote_.binding && set.survivors == vote_.survivors) return {};
  return base::Fail(base::Code::kFailedPrecondition,
                    "survivor set: another one than this site signed in this attempt; it signs one "
                    "only");
}

base::Result<Durable<Revealed, RevealedShares>> Committed::Reveal(const CommitVotes& votes,
                                                                  const PastChoices& past) && {
  const Committed state = std::move(*this);
  CLOISTER_RETURN_IF_ERROR(CheckNotSpent(state.site_));
  CLOISTER_RETURN_IF_ERROR(CheckVotes(state.site_, state.vote_, votes));
  RevealedShares shares;
  shares.binding = state.vote_.binding;
  shares.site = state.site_.self;
  for (const auto& [dealer, held] : state.held_) {
    shares.shares.push_back(Open(dealer, held, Contains(state.vote_.survivors, dealer)));
  }
  CLOISTER_RETURN_IF_ERROR(past.CheckReveal(state.site_.attempt, shares));
  shares.signature = security::SignEd25519(*state.site_.identity, SignedBytes(shares));
  Bytes record = RevealRecord(state.site_.attempt, shares);
  return Durable<Revealed, RevealedShares>(std::move(record),
                                           {Revealed(state.site_.attempt), std::move(shares)});
}

}  // namespace cloister::federation::protocol
