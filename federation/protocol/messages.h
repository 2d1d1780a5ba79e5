#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "federation/protocol/encoding.h"
#include "federation/protocol/parameters.h"
#include "security/primitives.h"

namespace cloister::federation::protocol {

// Every message of an attempt. Encode gives the bytes that travel and that are hashed; Decode…
// takes hostile bytes (kDataLoss: truncated, too long, out of order, out of bounds, left-over
// bytes) and checks form only: signatures and meaning are the states' business. Encode(Decode(x))
// == x. Lists are strictly ascending by site, so that one set has one encoding.

using Digest = security::Sha256Digest;
inline constexpr std::size_t kMaximumChunkBytes = std::size_t{4} << 20;
inline constexpr std::size_t kSecretBytes = 32;  // a mask key, a seed, and each of their shares
inline constexpr std::size_t kMaximumSealedBytes = 256;

// Phase 0, site to coordinator.
struct Advertisement {
  AttemptId attempt;
  SiteIndex site = 0;
  security::X25519PublicKey share_key{};   // share messages are sealed to it
  security::X25519PublicKey mask_key{};    // pairwise masks come from it
  security::Ed25519Signature signature{};  // by the site's identity key

  friend bool operator==(const Advertisement&, const Advertisement&) = default;
};

// Phase 1, coordinator to every site of the cohort: the same bytes for all.
struct Roster {
  std::vector<Advertisement> entries;

  friend bool operator==(const Roster&, const Roster&) = default;
};

// Hash of (job, round, attempt, roster): everything later is bound to it.
Digest Binding(const AttemptId& attempt, const Roster& roster);

// What a dealer commits to for one holder (the dealer itself included): salted hashes of the two
// shares, and the hash of the sealed message that carries them (zero for the dealer's own).
struct HolderCommitment {
  SiteIndex holder = 0;
  Digest mask_share{};
  Digest seed_share{};
  Digest sealed{};

  friend bool operator==(const HolderCommitment&, const HolderCommitment&) = default;
};

struct DealCommitments {
  Digest binding{};
  SiteIndex dealer = 0;
  Digest seed{};
  std::vector<HolderCommitment> holders;  // the whole cohort
  security::Ed25519Signature signature{};

  friend bool operator==(const DealCommitments&, const DealCommitments&) = default;
};

struct SealedShares {
  SiteIndex site = 0;  // the recipient in a Deal, the dealer in a Delivery
  Bytes sealed;

  friend bool operator==(const SealedShares&, const SealedShares&) = default;
};

// Phase 1, site to coordinator.
struct Deal {
  DealCommitments commitments;
  std::vector<SealedShares> shares;  // to every other site of the cohort

  friend bool operator==(const Deal&, const Deal&) = default;
};

// Phase 1, coordinator to site: what every dealer committed to, and the sealed shares for this
// site.
struct Delivery {
  Digest binding{};
  SiteIndex recipient = 0;
  std::vector<DealCommitments> deals;  // of every site that dealt, the recipient included
  std::vector<SealedShares> shares;    // from every other site that dealt

  friend bool operator==(const Delivery&, const Delivery&) = default;
};

// Hash of everything dealt: the sites that take part from here on and all their commitments.
Digest SharingHash(const Digest& binding, const std::vector<DealCommitments>& deals);

// Phase 2, site to coordinator: pieces in order of offset, each 1 … kMaximumChunkBytes.
struct UploadChunk {
  Digest binding{};
  SiteIndex site = 0;
  std::uint64_t offset = 0;  // bytes from the start of the masked vector
  Digest sha256{};
  Bytes bytes;

  friend bool operator==(const UploadChunk&, const UploadChunk&) = default;
};

// Phase 2, after the last chunk: closes the upload.
struct UploadSeal {
  Digest binding{};
  SiteIndex site = 0;
  std::uint64_t words = 0;
  Digest sha256{};  // of the whole masked vector, words little-endian
  security::Ed25519Signature signature{};

  friend bool operator==(const UploadSeal&, const UploadSeal&) = default;
};

// Phase 3, coordinator to site: whose uploads will be summed.
struct SurvivorSet {
  Digest binding{};
  std::vector<SiteIndex> survivors;

  friend bool operator==(const SurvivorSet&, const SurvivorSet&) = default;
};

// Hash of what a vote is about besides the survivors: the deals and the round's context.
Digest AgreementHash(const Digest& binding, const Digest& sharing, const Digest& context);

// Phase 3, site to coordinator.
struct CommitVote {
  Digest binding{};
  Digest agreement{};
  std::vector<SiteIndex> survivors;
  SiteIndex site = 0;
  security::Ed25519Signature signature{};

  friend bool operator==(const CommitVote&, const CommitVote&) = default;
};

// Phase 4, coordinator to site: the votes that allow the sum to be opened.
struct CommitVotes {
  Digest binding{};
  std::vector<CommitVote> votes;

  friend bool operator==(const CommitVotes&, const CommitVotes&) = default;
};

enum class ShareKind : std::uint8_t { kMaskKey = 1, kSeed = 2 };

struct RevealedShare {
  SiteIndex dealer = 0;
  ShareKind kind = ShareKind::kSeed;
  std::array<std::uint8_t, kSecretBytes> share{};
  std::array<std::uint8_t, kSecretBytes> salt{};

  friend bool operator==(const RevealedShare&, const RevealedShare&) = default;
};

// Phase 4, site to coordinator: one share of every site that dealt.
struct RevealedShares {
  Digest binding{};
  SiteIndex site = 0;
  std::vector<RevealedShare> shares;
  security::Ed25519Signature signature{};

  friend bool operator==(const RevealedShares&, const RevealedShares&) = default;
};

Bytes Encode(const Advertisement& message);
Bytes Encode(const Roster& message);
Bytes Encode(const Deal& message);
Bytes Encode(const Delivery& message);
Bytes Encode(const UploadChunk& message);
Bytes Encode(const UploadSeal& message);
Bytes Encode(const SurvivorSet& message);
Bytes Encode(const CommitVote& message);
Bytes Encode(const CommitVotes& message);
Bytes Encode(const RevealedShares& message);

base::Result<Advertisement> DecodeAdvertisement(ByteView bytes);
base::Result<Roster> DecodeRoster(ByteView bytes);
base::Result<Deal> DecodeDeal(ByteView bytes);
base::Result<Delivery> DecodeDelivery(ByteView bytes);
base::Result<UploadChunk> DecodeUploadChunk(ByteView bytes);
base::Result<UploadSeal> DecodeUploadSeal(ByteView bytes);
base::Result<SurvivorSet> DecodeSurvivorSet(ByteView bytes);
base::Result<CommitVote> DecodeCommitVote(ByteView bytes);
base::Result<CommitVotes> DecodeCommitVotes(ByteView bytes);
base::Result<RevealedShares> DecodeRevealedShares(ByteView bytes);

// What a signature covers: a domain string, then the message without its signature.
Bytes SignedBytes(const Advertisement& message);
Bytes SignedBytes(const DealCommitments& message);
Bytes SignedBytes(const UploadSeal& message);
Bytes SignedBytes(const CommitVote& message);
Bytes SignedBytes(const RevealedShares& message);

}  // namespace cloister::federation::protocol
