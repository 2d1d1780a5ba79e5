// Phase 4 of the coordinator: Revealing.

#include <algorithm>
#include <string>
#include <utility>

#include "federation/aggregation/mask.h"
#include "federation/aggregation/shamir.h"
#include "federation/protocol/collection.h"
#include "federation/protocol/coordinator_session.h"
#include "federation/protocol/derivation.h"
#include "federation/protocol/verification.h"

namespace cloister::federation::protocol {
namespace {

const Digest& Expected(const HolderCommitment& commitment, ShareKind kind) {
  return kind == ShareKind::kMaskKey ? commitment.mask_share : commitment.seed_share;
}

}  // namespace

base::Status Revealing::Add(const RevealedShares& shares) {
  CLOISTER_RETURN_IF_ERROR(CheckNotSpent(attempt_));
  const Terms& terms = *attempt_.terms;
  const std::string label = "revealed shares of " + SiteLabel(terms, shares.site);
  if (!Contains(survivors_, shares.site)) {
    return base::Fail(base::Code::kFailedPrecondition, label + ", which is not a survivor");
  }
  if (shares.binding != binding_) {
    return base::Fail(base::Code::kDataLoss, label + " belong to another attempt or roster");
  }
  CLOISTER_RETURN_IF_ERROR(CheckSignature(terms, shares.site, shares, "revealed shares"));
  // From here the site's own signature stands under what is wrong.
  const auto blame = [this, &shares, &label](const std::string& what) {
    const bool known = std::any_of(blamed_.begin(), blamed_.end(), [&shares](const Blame& earlier) {
      return earlier.site == shares.site;
    });
    if (!known) blamed_.push_back({shares.site, what});
    return base::Fail(base::Code::kDataLoss, label + ": " + what + ": ask that site's operator");
  };
  if (shares.shares.size() != deals_.size()) return blame("they are not one for every dealer");
  auto entry = shares.shares.begin();
  for (const auto& [dealer, deal] : deals_) {
    const ShareKind kind = Contains(survivors_, dealer) ? ShareKind::kSeed : ShareKind::kMaskKey;
    if (entry->dealer != dealer || entry->kind != kind) {
      return blame("they are not one of the right kind for every dealer");
    }
    if (ShareCommitment(binding_, dealer, shares.site, kind, entry->share, entry->salt) !=
        Expected(CommitmentTo(deal, shares.site), kind)) {
      return blame("the share of " + SiteLabel(terms, dealer) + " misses its commitment");
    }
    ++entry;
  }
  return TakeOnce(terms, revealed_, shares.site, shares);
}

bool Revealing::complete() const { return revealed_.size() == survivors_.size(); }

// The first t shares: all of them were checked against the dealer's commitments, so if they do not
// fit together the dealer made them so.
base::Result<security::SecretBytes> Revealing::Rebuild(SiteIndex dealer, ShareKind kind) const {
  std::vector<aggregation::ShamirShare> shares;
  for (const auto& [holder, revealed] : revealed_) {
    if (shares.size() == attempt_.terms->parameters.threshold) break;
    for (const RevealedShare& entry : revealed.shares) {
      if (entry.dealer != dealer) continue;
      shares.push_back({static_cast<std::uint8_t>(holder + 1), security::SecretBytes(entry.share)});
    }
  }
  CLOISTER_ASSIGN_OR_RETURN(security::SecretBytes secret, aggregation::Combine(shares));
  const bool right =
      kind == ShareKind::kMaskKey
          ? security::X25519PublicFromPrivate(secret) == EntryOf(roster_, dealer)->mask_key
          : SeedCommitment(binding_, dealer, secret) == deals_.at(dealer).seed;
  if (right) return secret;
  return base::Fail(base::Code::kDataLoss, SiteLabel(*attempt_.terms, dealer) +
                                               " dealt shares that do not rebuild its " +
                                               (kind == ShareKind::kMaskKey ? "mask key" : "seed") +
                                               ": the round is lost; ask that site's operator");
}

base::Status Revealing::RemoveSelfMasks(std::vector<std::uint32_t>& words) const {
  for (const SiteIndex site : survivors_) {
    CLOISTER_ASSIGN_OR_RETURN(const security::SecretBytes seed, Rebuild(site, ShareKind::kSeed));
    aggregation::ApplyMask(words, SelfMaskKey(seed, binding_, attempt_.context, site),
                           aggregation::MaskSign::kSubtract);
  }
  return {};
}

base::Status Revealing::RemoveLostMasks(std::vector<std::uint32_t>& words) const {
  for (const auto& [lost, deal] : deals_) {
    if (Contains(survivors_, lost)) continue;
    CLOISTER_ASSIGN_OR_RETURN(const security::SecretBytes mask_key,
                              Rebuild(lost, ShareKind::kMaskKey));
    for (const SiteIndex site : survivors_) {
      CLOISTER_ASSIGN_OR_RETURN(const security::SecretBytes key,
                                PairMaskKey(mask_key, EntryOf(roster_, site)->mask_key, binding_,
                                            attempt_.context, lost, site));
      aggregation::ApplyMask(words, key, Opposite(PairSign(site, lost)));
    }
  }
  return {};
}

base::Result<SecureSum> Revealing::Finish() && {
  Revealing state = std::move(*this);
  CLOISTER_RETURN_IF_ERROR(CheckNotSpent(state.attempt_));
  const Terms& terms = *state.attempt_.terms;
  CLOISTER_RETURN_IF_ERROR(CheckEnough(terms, state.survivors_, state.revealed_,
                                       terms.parameters.threshold, "revealed their shares"));
  CLOISTER_RETURN_IF_ERROR(state.RemoveSelfMasks(state.masked_sum_));
  CLOISTER_RETURN_IF_ERROR(state.RemoveLostMasks(state.masked_sum_));
  return SecureSum{std::move(state.survivors_), aggregation::Centred(state.masked_sum_)};
}

}  // namespace cloister::federation::protocol
