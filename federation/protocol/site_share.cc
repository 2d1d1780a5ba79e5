// Phases 0 and 1 of a site, up to the deal: Advertised.

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"
#include "federation/aggregation/shamir.h"
#include "federation/protocol/derivation.h"
#include "federation/protocol/site_session.h"
#include "federation/protocol/verification.h"
#include "security/random.h"

namespace cloister::federation::protocol {
namespace {

std::uint8_t Coordinate(SiteIndex site) { return static_cast<std::uint8_t>(site + 1); }

// Both shares of this dealer for one holder, with fresh salts.
HeldShares Salted(const aggregation::ShamirShare& mask, const aggregation::ShamirShare& seed) {
  return {mask.bytes.Clone(), security::RandomSecret(kSecretBytes), seed.bytes.Clone(),
          security::RandomSecret(kSecretBytes)};
}

// What a sealed share message holds: mask share, its salt, seed share, its salt; 32 bytes each.
security::SecretBytes Plaintext(const HeldShares& shares) {
  security::SecretBytes bytes(4 * kSecretBytes);
  std::size_t at = 0;
  for (const security::SecretBytes* part :
       {&shares.mask_share, &shares.mask_salt, &shares.seed_share, &shares.seed_salt}) {
    std::copy(part->bytes().begin(), part->bytes().end(), bytes.mutable_bytes().begin() + at);
    at += kSecretBytes;
  }
  return bytes;
}

HolderCommitment CommitTo(const Digest& binding, SiteIndex dealer, SiteIndex holder,
                          const HeldShares& shares) {
  HolderCommitment commitment;
  commitment.holder = holder;
  commitment.mask_share = ShareCommitment(binding, dealer, holder, ShareKind::kMaskKey,
                                          shares.mask_share.bytes(), shares.mask_salt.bytes());
  commitment.seed_share = ShareCommitment(binding, dealer, holder, ShareKind::kSeed,
                                          shares.seed_share.bytes(), shares.seed_salt.bytes());
  return commitment;
}

}  // namespace

base::Status CheckNotSpent(const SiteAttempt& site) {
  if (site.terms != nullptr) return {};
  return base::Fail(base::Code::kFailedPrecondition,
                    "secure aggregation: this site has left the attempt: go on with the next "
                    "round");
}

base::Result<Durable<Advertised, Advertisement>> Advertised::Start(
    std::shared_ptr<const Terms> terms, const AttemptId& attempt, SiteIndex self,
    std::shared_ptr<const security::Ed25519KeyPair> identity, const PastChoices& past) {
  CLOISTER_CHECK(terms != nullptr && identity != nullptr);
  CLOISTER_RETURN_IF_ERROR(Validate(*terms));
  if (attempt.job != terms->job || self >= terms->sites.size() ||
      terms->sites[self].key != identity->public_key) {
    return base::Fail(base::Code::kInvalidArgument,
                      "secure aggregation: the job does not name this site at place " +
                          std::to_string(self) + " with its identity key");
  }
  CLOISTER_RETURN_IF_ERROR(past.CheckStart(attempt));
  security::X25519KeyPair share_keys = security::GenerateX25519();
  security::X25519KeyPair mask_keys = security::GenerateX25519();
  Advertised state;
  state.site_ = {std::move(terms), attempt, self, std::move(identity)};
  state.advertisement_ = {attempt, self, share_keys.public_key, mask_keys.public_key, {}};
  state.advertisement_.signature =
      security::SignEd25519(*state.site_.identity, SignedBytes(state.advertisement_));
  state.share_private_key_ = std::move(share_keys.private_key);
  state.mask_private_key_ = std::move(mask_keys.private_key);
  const Advertisement message = state.advertisement_;
  return Durable<Advertised, Advertisement>(StartRecord(attempt), {std::move(state), message});
}

base::Result<Step<Shared, Deal>> Advertised::Share(const Roster& roster) && {
  const Advertised state = std::move(*this);
  CLOISTER_RETURN_IF_ERROR(CheckNotSpent(state.site_));
  const Terms& terms = *state.site_.terms;
  const SiteIndex self = state.site_.self;
  CLOISTER_RETURN_IF_ERROR(CheckRoster(terms, state.site_.attempt, roster));
  const Advertisement* own = EntryOf(roster, self);
  if (own == nullptr || *own != state.advertisement_) {
    return base::Fail(base::Code::kFailedPrecondition,
                      "roster: this site's own entry is missing or was changed");
  }
  Shared next;
  next.site_ = state.site_;
  next.binding_ = Binding(state.site_.attempt, roster);
  next.roster_ = roster;
  next.share_private_key_ = state.share_private_key_.Clone();
  next.mask_private_key_ = state.mask_private_key_.Clone();
  next.seed_ = security::RandomSecret(kSecretBytes);

  std::vector<std::uint8_t> coordinates;
  for (const SiteIndex site : SitesOf(roster)) coordinates.push_back(Coordinate(site));
  const std::uint32_t threshold = terms.parameters.threshold;
  CLOISTER_ASSIGN_OR_RETURN(const auto mask_shares,
                            aggregation::Split(next.mask_private_key_, threshold, coordinates));
  CLOISTER_ASSIGN_OR_RETURN(const auto seed_shares,
                            aggregation::Split(next.seed_, threshold, coordinates));
  Deal deal;
  deal.commitments.binding = next.binding_;
  deal.commitments.dealer = self;
  deal.commitments.seed = SeedCommitment(next.binding_, self, next.seed_);
  for (std::size_t i = 0; i < roster.entries.size(); ++i) {
    const SiteIndex holder = roster.entries[i].site;
    HeldShares shares = Salted(mask_shares[i], seed_shares[i]);
    HolderCommitment commitment = CommitTo(next.binding_, self, holder, shares);
    if (holder == self) {
      next.own_shares_ = std::move(shares);
    } else {
      CLOISTER_ASSIGN_OR_RETURN(
          security::SecretBytes key,
          ShareMessageKey(next.share_private_key_, roster.entries[i].share_key, next.binding_, self,
                          holder));
      Bytes sealed = security::SealOnce(std::move(key), Plaintext(shares).bytes(),
                                        ShareMessageContext(terms, next.binding_, self, holder));
      commitment.sealed = security::HashBytes(sealed);
      deal.shares.push_back({holder, std::move(sealed)});
    }
    deal.commitments.holders.push_back(commitment);
  }
  deal.commitments.signature =
      security::SignEd25519(*next.site_.identity, SignedBytes(deal.commitments));
  next.own_commitments_ = deal.commitments;
  return Step<Shared, Deal>{std::move(next), std::move(deal)};
}

}  // namespace cloister::federation::protocol
