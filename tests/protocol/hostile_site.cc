#include "tests/protocol/hostile_site.h"

#include <algorithm>
#include <utility>

#include "federation/aggregation/mask.h"
#include "federation/aggregation/shamir.h"
#include "federation/protocol/derivation.h"
#include "federation/protocol/verification.h"
#include "security/random.h"

namespace cloister::federation::protocol {
namespace {

security::SecretBytes Joined(const HeldShares& shares) {
  Writer writer;
  for (const security::SecretBytes* part :
       {&shares.mask_share, &shares.mask_salt, &shares.seed_share, &shares.seed_salt}) {
    writer.Fixed(part->bytes());
  }
  return security::SecretBytes(ByteView(writer.bytes()));
}

}  // namespace

HostileSite::HostileSite(SimulatedFederation& federation, SiteIndex self)
    : federation_(federation),
      self_(self),
      share_keys_(security::GenerateX25519()),
      mask_keys_(security::GenerateX25519()),
      seed_(security::RandomSecret(kSecretBytes)) {}

template <typename Message>
Message HostileSite::Signed(Message message) const {
  return Resigned(federation_, self_, std::move(message));
}

Advertisement HostileSite::Advertise() const {
  return Signed(
      Advertisement{federation_.attempt, self_, share_keys_.public_key, mask_keys_.public_key, {}});
}

void HostileSite::Straight(SiteIndex, bool, HeldShares&) {}

Deal HostileSite::MakeDeal(const Bend& bend) const {
  const Roster& roster = federation_.roster;
  const Digest binding = Binding(federation_.attempt, roster);
  std::vector<std::uint8_t> places;
  for (const SiteIndex site : SitesOf(roster)) {
    places.push_back(static_cast<std::uint8_t>(site + 1));
  }
  const std::uint32_t threshold = federation_.terms->parameters.threshold;
  const auto mask_shares = *aggregation::Split(mask_keys_.private_key, threshold, places);
  const auto seed_shares = *aggregation::Split(seed_, threshold, places);
  Deal deal;
  deal.commitments = {binding, self_, SeedCommitment(binding, self_, seed_), {}, {}};
  for (std::size_t i = 0; i < places.size(); ++i) {
    const Advertisement& peer = roster.entries[i];
    HeldShares shares{mask_shares[i].bytes.Clone(), security::RandomSecret(kSecretBytes),
                      seed_shares[i].bytes.Clone(), security::RandomSecret(kSecretBytes)};
    bend(peer.site, false, shares);
    HolderCommitment entry{peer.site,
                           ShareCommitment(binding, self_, peer.site, ShareKind::kMaskKey,
                                           shares.mask_share.bytes(), shares.mask_salt.bytes()),
                           ShareCommitment(binding, self_, peer.site, ShareKind::kSeed,
                                           shares.seed_share.bytes(), shares.seed_salt.bytes()),
                           {}};
    bend(peer.site, true, shares);
    if (peer.site != self_) {
      Bytes sealed = security::SealOnce(
          *ShareMessageKey(share_keys_.private_key, peer.share_key, binding, self_, peer.site),
          Joined(shares).bytes(),
          ShareMessageContext(*federation_.terms, binding, self_, peer.site));
      entry.sealed = security::HashBytes(sealed);
      deal.shares.push_back({peer.site, std::move(sealed)});
    }
    deal.commitments.holders.push_back(entry);
  }
  deal.commitments = Signed(deal.commitments);
  return deal;
}

MaskedUpload HostileSite::Upload(const std::vector<SiteIndex>& peers, bool self_mask) const {
  const Digest binding = Binding(federation_.attempt, federation_.roster);
  std::vector<std::uint32_t> words;
  for (const std::int64_t value : federation_.sites[self_].values) {
    words.push_back(static_cast<std::uint32_t>(value));
  }
  for (const SiteIndex peer : peers) {
    const auto key =
        PairMaskKey(mask_keys_.private_key, EntryOf(federation_.roster, peer)->mask_key, binding,
                    federation_.context, self_, peer);
    aggregation::ApplyMask(words, *key, PairSign(self_, peer));
  }
  if (self_mask) {
    aggregation::ApplyMask(words, SelfMaskKey(seed_, binding, federation_.context, self_),
                           aggregation::MaskSign::kAdd);
  }
  UploadSeal seal = Signed(UploadSeal{binding, self_, words.size(), HashWords(words), {}});
  return MaskedUpload(std::move(words), seal);
}

CommitVote HostileSite::Vote(const std::vector<SiteIndex>& survivors) const {
  std::vector<DealCommitments> deals = federation_.deliveries.begin()->second.deals;
  const Digest binding = Binding(federation_.attempt, federation_.roster);
  return Signed(CommitVote{binding,
                           AgreementHash(binding, SharingHash(binding, deals), federation_.context),
                           survivors,
                           self_,
                           {}});
}

}  // namespace cloister::federation::protocol
