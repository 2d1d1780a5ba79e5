#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "federation/protocol/durable.h"
#include "federation/protocol/messages.h"
#include "federation/protocol/parameters.h"
#include "federation/protocol/upload.h"

namespace cloister::federation::protocol {

// The coordinator's side of one attempt, as values:
//
//   Advertising --Close--> Sharing --Close--> Uploading --Close--> Committing --Close--> Revealing
//   --Finish--> SecureSum
//
// Each state collects the sites' messages with Add and is closed when everyone answered or the
// deadline passed, which is the caller's business. A failed Add leaves the state as it was: the
// message does not count and its sender is as good as lost. A message that was already taken comes
// back as success when it is the same again, kAlreadyExists when it differs. Close and Finish spend
// the state; below max(t, minimum cohort) they give kUnavailable naming the missing sites, and
// nothing is opened. Not thread-safe.
//
// The transport must have authenticated the sender and compared it with the message's site: chunks
// carry no signature of their own.

struct CoordinatorAttempt {
  std::shared_ptr<const Terms> terms;
  AttemptId attempt;
  Digest context{};  // HashContext of what every site is given
};

// kFailedPrecondition for a state that was closed already.
base::Status CheckNotSpent(const CoordinatorAttempt& attempt);

// A site that can be shown to have broken the protocol, for the log and for a person to act on.
struct Blame {
  SiteIndex site = 0;
  std::string reason;
};

struct SecureSum {
  std::vector<SiteIndex> survivors;  // whose vectors are in the sum
  std::vector<std::int64_t> sum;     // each word centred: −2^31 … 2^31 − 1
};

class Revealing {
 public:
  base::Status Add(const RevealedShares& shares);
  std::size_t received() const { return revealed_.size(); }
  bool complete() const;  // every survivor has answered
  // Every holder whose signed share missed its dealer's commitment, so far.
  const std::vector<Blame>& blamed() const { return blamed_; }

  // Rebuilds what is to be removed and removes it. kUnavailable below t share sets; kDataLoss
  // naming the dealer whose committed shares do not rebuild what it advertised.
  base::Result<SecureSum> Finish() &&;

 private:
  friend class Committing;
  base::Result<security::SecretBytes> Rebuild(SiteIndex dealer, ShareKind kind) const;
  base::Status RemoveSelfMasks(std::vector<std::uint32_t>& words) const;
  base::Status RemoveLostMasks(std::vector<std::uint32_t>& words) const;

  CoordinatorAttempt attempt_;
  Digest binding_{};
  Roster roster_;
  std::map<SiteIndex, DealCommitments> deals_;
  std::vector<SiteIndex> survivors_;
  std::vector<std::uint32_t> masked_sum_;
  std::map<SiteIndex, RevealedShares> revealed_;
  std::vector<Blame> blamed_;
};

class Committing {
 public:
  base::Status Add(const CommitVote& vote);
  std::size_t received() const { return votes_.size(); }
  bool complete() const;  // every survivor has voted
  const SurvivorSet& survivors() const { return set_; }
  // kUnavailable below t votes.
  base::Result<Step<Revealing, CommitVotes>> Close() &&;

 private:
  friend class Uploading;
  CoordinatorAttempt attempt_;
  Roster roster_;
  std::map<SiteIndex, DealCommitments> deals_;
  SurvivorSet set_;
  Digest agreement_{};
  std::vector<std::uint32_t> masked_sum_;
  std::map<SiteIndex, CommitVote> votes_;
};

class Uploading {
 public:
  // Bytes held of this site's upload after the chunk (see PartialUpload::Add).
  base::Result<std::uint64_t> Add(const UploadChunk& chunk);
  // Closes one site's upload: it is a survivor from here.
  base::Status Add(const UploadSeal& seal);
  std::size_t received() const { return sealed_.size(); }
  bool complete() const;  // every dealer's upload is whole
  std::vector<SiteIndex> dealers() const;
  // Uploads that are not sealed by now are discarded.
  base::Result<Step<Committing, SurvivorSet>> Close() &&;

 private:
  friend class Sharing;
  CoordinatorAttempt attempt_;
  Digest binding_{};
  Digest sharing_{};
  Roster roster_;
  std::map<SiteIndex, DealCommitments> deals_;
  std::map<SiteIndex, PartialUpload> partial_;
  std::map<SiteIndex, UploadSeal> sealed_;
  std::vector<std::uint32_t> masked_sum_;
};

class Sharing {
 public:
  base::Status Add(const Deal& deal);
  std::size_t received() const { return deals_.size(); }
  bool complete() const;  // the whole cohort has dealt
  std::vector<SiteIndex> cohort() const;
  // One delivery for each site that dealt.
  base::Result<Step<Uploading, std::map<SiteIndex, Delivery>>> Close() &&;

 private:
  friend class Advertising;
  CoordinatorAttempt attempt_;
  Digest binding_{};
  Roster roster_;
  std::map<SiteIndex, Deal> deals_;
};

class Advertising {
 public:
  // kInvalidArgument when terms and attempt do not fit together.
  static base::Result<Advertising> Start(std::shared_ptr<const Terms> terms,
                                         const AttemptId& attempt, const Digest& context);
  base::Status Add(const Advertisement& advertisement);
  std::size_t received() const { return entries_.size(); }
  bool complete() const;  // all n sites are there
  base::Result<Step<Sharing, Roster>> Close() &&;

 private:
  CoordinatorAttempt attempt_;
  std::map<SiteIndex, Advertisement> entries_;
};

}  // namespace cloister::federation::protocol
