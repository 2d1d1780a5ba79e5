// Phases 2 and 3 of the coordinator: Uploading and Committing.

#include <string>
#include <utility>

#include "federation/aggregation/mask.h"
#include "federation/protocol/collection.h"
#include "federation/protocol/coordinator_session.h"
#include "federation/protocol/verification.h"

namespace cloister::federation::protocol {

base::Result<std::uint64_t> Uploading::Add(const UploadChunk& chunk) {
  CLOISTER_RETURN_IF_ERROR(CheckNotSpent(attempt_));
  const std::string label = SiteLabel(*attempt_.terms, chunk.site);
  if (sealed_.contains(chunk.site)) {
    return base::Fail(base::Code::kAlreadyExists, label + ": the upload is sealed already");
  }
  const auto found = partial_.find(chunk.site);
  if (found == partial_.end()) {
    return base::Fail(base::Code::kFailedPrecondition,
                      label + " dealt no shares in this attempt, so it cannot upload");
  }
  auto held = found->second.Add(chunk);
  if (!held) return base::Annotate(std::move(held), label);
  return held;
}

base::Status Uploading::Add(const UploadSeal& seal) {
  CLOISTER_RETURN_IF_ERROR(CheckNotSpent(attempt_));
  const std::string label = SiteLabel(*attempt_.terms, seal.site);
  if (sealed_.contains(seal.site)) {
    return TakeOnce(*attempt_.terms, sealed_, seal.site, seal);
  }
  const auto found = partial_.find(seal.site);
  if (found == partial_.end()) {
    return base::Fail(base::Code::kFailedPrecondition,
                      label + " dealt no shares in this attempt, so it cannot upload");
  }
  // Before the bytes are looked at: a forged seal must not cost the site its upload.
  CLOISTER_RETURN_IF_ERROR(CheckSignature(*attempt_.terms, seal.site, seal, "upload seal"));
  auto words = found->second.Finish(seal);
  if (!words) return base::Annotate(std::move(words), label);
  aggregation::AddWords(masked_sum_, *words);
  partial_.erase(found);
  sealed_.emplace(seal.site, seal);
  return {};
}

bool Uploading::complete() const { return sealed_.size() == deals_.size(); }

std::vector<SiteIndex> Uploading::dealers() const {
  std::vector<SiteIndex> sites;
  for (const auto& [dealer, deal] : deals_) sites.push_back(dealer);
  return sites;
}

base::Result<Step<Committing, SurvivorSet>> Uploading::Close() && {
  Uploading state = std::move(*this);
  CLOISTER_RETURN_IF_ERROR(CheckNotSpent(state.attempt_));
  const Terms& terms = *state.attempt_.terms;
  CLOISTER_RETURN_IF_ERROR(CheckEnough(terms, state.dealers(), state.sealed_,
                                       SmallestCohort(terms.parameters), "uploaded"));
  Committing next;
  next.set_.binding = state.binding_;
  for (const auto& [site, seal] : state.sealed_) next.set_.survivors.push_back(site);
  next.agreement_ = AgreementHash(state.binding_, state.sharing_, state.attempt_.context);
  next.attempt_ = state.attempt_;
  next.roster_ = std::move(state.roster_);
  next.deals_ = std::move(state.deals_);
  next.masked_sum_ = std::move(state.masked_sum_);
  SurvivorSet set = next.set_;
  return Step<Committing, SurvivorSet>{std::move(next), std::move(set)};
}

base::Status Committing::Add(const CommitVote& vote) {
  CLOISTER_RETURN_IF_ERROR(CheckNotSpent(attempt_));
  CLOISTER_RETURN_IF_ERROR(
      CheckVote(*attempt_.terms, set_.binding, agreement_, set_.survivors, vote));
  return TakeOnce(*attempt_.terms, votes_, vote.site, vote);
}

bool Committing::complete() const { return votes_.size() == set_.survivors.size(); }

base::Result<Step<Revealing, CommitVotes>> Committing::Close() && {
  Committing state = std::move(*this);
  CLOISTER_RETURN_IF_ERROR(CheckNotSpent(state.attempt_));
  const Terms& terms = *state.attempt_.terms;
  CLOISTER_RETURN_IF_ERROR(
      CheckEnough(terms, state.set_.survivors, state.votes_, terms.parameters.threshold, "voted"));
  CommitVotes votes;
  votes.binding = state.set_.binding;
  for (const auto& [site, vote] : state.votes_) votes.votes.push_back(vote);
  Revealing next;
  next.attempt_ = state.attempt_;
  next.binding_ = state.set_.binding;
  next.roster_ = std::move(state.roster_);
  next.deals_ = std::move(state.deals_);
  next.survivors_ = std::move(state.set_.survivors);
  next.masked_sum_ = std::move(state.masked_sum_);
  return Step<Revealing, CommitVotes>{std::move(next), std::move(votes)};
}

}  // namespace cloister::federation::protocol
