// Phase 1 of a site, second half, and phase 2: Shared and Paired.

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "federation/protocol/derivation.h"
#include "federation/protocol/site_session.h"
#include "federation/protocol/verification.h"

namespace cloister::federation::protocol {
namespace {

security::SecretBytes Part(const security::SecretBytes& plaintext, std::size_t index) {
  return security::SecretBytes(plaintext.bytes().subspan(index * kSecretBytes, kSecretBytes));
}

// The two shares in an opened message, if they are what the dealer committed to for `holder`.
base::Result<HeldShares> CheckedShares(const DealCommitments& deal, SiteIndex holder,
                                       const security::SecretBytes& plaintext,
                                       const std::string& dealer) {
  const auto blame = [&dealer](const std::string& what) {
    return base::Fail(base::Code::kDataLoss,
                      "share message: " + dealer + " dealt " + what + ": ask that site's operator");
  };
  if (plaintext.size() != 4 * kSecretBytes) return blame("a message of a wrong size");
  HeldShares shares{Part(plaintext, 0), Part(plaintext, 1), Part(plaintext, 2), Part(plaintext, 3)};
  const HolderCommitment& expected = CommitmentTo(deal, holder);
  const Digest mask = ShareCommitment(deal.binding, deal.dealer, holder, ShareKind::kMaskKey,
                                      shares.mask_share.bytes(), shares.mask_salt.bytes());
  const Digest seed = ShareCommitment(deal.binding, deal.dealer, holder, ShareKind::kSeed,
                                      shares.seed_share.bytes(), shares.seed_salt.bytes());
  if (mask != expected.mask_share || seed != expected.seed_share) {
    return blame("a share that misses its commitment");
  }
  return shares;
}

// Form of the delivery: for this site, deals in order, as many as there must be, each well signed.
base::Status CheckDelivery(const SiteAttempt& site, const Digest& binding, const Roster& roster,
                           const DealCommitments& own, const Delivery& delivery) {
  const Terms& terms = *site.terms;
  std::vector<SiteIndex> dealers;
  for (const DealCommitments& deal : delivery.deals) dealers.push_back(deal.dealer);
  if (delivery.binding != binding || delivery.recipient != site.self) {
    return base::Fail(base::Code::kDataLoss,
                      "share delivery belongs to another attempt, roster or site");
  }
  if (!StrictlyAscending(dealers)) {
    return base::Fail(base::Code::kDataLoss,
                      "share delivery: a dealer is out of order or twice there");
  }
  if (dealers.size() < SmallestCohort(terms.parameters)) {
    return base::Fail(base::Code::kFailedPrecondition,
                      "share delivery: " + std::to_string(dealers.size()) + " sites dealt, and " +
                          std::to_string(SmallestCohort(terms.parameters)) + " must");
  }
  for (const DealCommitments& deal : delivery.deals) {
    CLOISTER_RETURN_IF_ERROR(CheckCommitments(terms, binding, roster, deal));
  }
  std::vector<SiteIndex> senders;
  for (const SealedShares& entry : delivery.shares) senders.push_back(entry.site);
  if (!Contains(dealers, site.self) ||
      delivery.deals[std::lower_bound(dealers.begin(), dealers.end(), site.self) -
                     dealers.begin()] != own) {
    return base::Fail(base::Code::kFailedPrecondition,
                      "share delivery: this site's own commitments are missing or were changed");
  }
  std::erase(dealers, site.self);
  if (senders != dealers) {
    return base::Fail(base::Code::kDataLoss,
                      "share delivery: there must be one message of every other dealer");
  }
  return {};
}

}  // namespace

base::Result<Paired> Shared::Pair(const Delivery& delivery) && {
  Shared state = std::move(*this);
  CLOISTER_RETURN_IF_ERROR(CheckNotSpent(state.site_));
  const Terms& terms = *state.site_.terms;
  const SiteIndex self = state.site_.self;
  CLOISTER_RETURN_IF_ERROR(
      CheckDelivery(state.site_, state.binding_, state.roster_, state.own_commitments_, delivery));
  Paired next;
  std::size_t message = 0;
  for (const DealCommitments& deal : delivery.deals) {
    const Advertisement& entry = *EntryOf(state.roster_, deal.dealer);
    next.mask_keys_.emplace(deal.dealer, entry.mask_key);
    if (deal.dealer == self) {
      next.held_.emplace(self, std::move(state.own_shares_));
      continue;
    }
    const std::string label = SiteLabel(terms, deal.dealer);
    const Bytes& sealed = delivery.shares[message++].sealed;
    if (security::HashBytes(sealed) != CommitmentTo(deal, self).sealed) {
      return base::Fail(base::Code::kDataLoss,
                        "share message of " + label +
                            " is not the one that it signed: it was changed on the way");
    }
    CLOISTER_ASSIGN_OR_RETURN(const security::SecretBytes key,
                              ShareMessageKey(state.share_private_key_, entry.share_key,
                                              state.binding_, deal.dealer, self));
    auto opened =
        security::Open(key, sealed, ShareMessageContext(terms, state.binding_, deal.dealer, self));
    if (!opened) {
      return base::Annotate(std::move(opened), "share message: " + label + " sealed it wrongly");
    }
    CLOISTER_ASSIGN_OR_RETURN(HeldShares shares, CheckedShares(deal, self, *opened, label));
    next.held_.emplace(deal.dealer, std::move(shares));
  }
  next.site_ = state.site_;
  next.binding_ = state.binding_;
  next.sharing_ = SharingHash(state.binding_, delivery.deals);
  next.mask_private_key_ = std::move(state.mask_private_key_);
  next.seed_ = std::move(state.seed_);
  return next;
}

std::vector<SiteIndex> Paired::dealers() const {
  std::vector<SiteIndex> sites;
  for (const auto& [dealer, shares] : held_) sites.push_back(dealer);
  return sites;
}

base::Result<Step<Masked, MaskedUpload>> Paired::Mask(std::span<const std::int64_t> values,
                                                      const Digest& context) && {
  Paired state = std::move(*this);
  CLOISTER_RETURN_IF_ERROR(CheckNotSpent(state.site_));
  const SiteIndex self = state.site_.self;
  if (values.size() != state.site_.terms->words) {
    return base::Fail(base::Code::kInvalidArgument, "update of " + std::to_string(values.size()) +
                                                        " words: the job says " +
                                                        std::to_string(state.site_.terms->words));
  }
  std::vector<std::uint32_t> words(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] < std::numeric_limits<std::int32_t>::min() ||
        values[i] > std::numeric_limits<std::int32_t>::max()) {
      return base::Fail(base::Code::kOutOfRange,
                        "update: word " + std::to_string(i) +
                            " does not fit 32 bits: the job's clip norm, cap or spacing is wrong");
    }
    words[i] = static_cast<std::uint32_t>(values[i]);
  }
  for (const auto& [peer, mask_key] : state.mask_keys_) {
    if (peer == self) continue;
    CLOISTER_ASSIGN_OR_RETURN(
        const security::SecretBytes key,
        PairMaskKey(state.mask_private_key_, mask_key, state.binding_, context, self, peer));
    aggregation::ApplyMask(words, key, PairSign(self, peer));
  }
  aggregation::ApplyMask(words, SelfMaskKey(state.seed_, state.binding_, context, self),
                         aggregation::MaskSign::kAdd);
  UploadSeal seal{state.binding_, self, words.size(), HashWords(words), {}};
  seal.signature = security::SignEd25519(*state.site_.identity, SignedBytes(seal));
  Masked next;
  next.site_ = state.site_;
  next.binding_ = state.binding_;
  next.agreement_ = AgreementHash(state.binding_, state.sharing_, context);
  next.held_ = std::move(state.held_);
  return Step<Masked, MaskedUpload>{std::move(next), MaskedUpload(std::move(words), seal)};
}

}  // namespace cloister::federation::protocol
