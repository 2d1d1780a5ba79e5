#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "federation/protocol/durable.h"
#include "federation/protocol/messages.h"
#include "federation/protocol/parameters.h"
#include "federation/protocol/upload.h"
#include "security/primitives.h"
#include "security/secret_bytes.h"

namespace cloister::federation::protocol {

// A site's side of one attempt (Bonawitz et al. 2017, "Practical Secure Aggregation for
// Privacy-Preserving Machine Learning", the variant against active adversaries), as values:
//
//   Advertised --Share--> Shared --Pair--> Paired --Mask--> Masked --Commit--> Committed
//   --Reveal--> Revealed
//
// Each state has one transition, which spends it: on an error the keys are wiped and the site has
// left the attempt, which is the answer to every inconsistency. (Calling a spent state's transition
// gives kFailedPrecondition.) No state does I/O, reads a clock or locks. The coordinator is not
// trusted: every check that keeps an update hidden is made here. Not thread-safe.
//
// Errors: kDataLoss or kUnauthenticated for a message that is malformed, forged or belongs to
// another attempt; kFailedPrecondition for a request that would lay an update open; each names the
// site at fault where one can be named.

// What all states of an attempt know.
struct SiteAttempt {
  std::shared_ptr<const Terms> terms;
  AttemptId attempt;
  SiteIndex self = 0;
  std::shared_ptr<const security::Ed25519KeyPair> identity;
};

// kFailedPrecondition for a state whose transition was taken already.
base::Status CheckNotSpent(const SiteAttempt& site);

// Both shares of one dealer, as this site holds them.
struct HeldShares {
  security::SecretBytes mask_share;
  security::SecretBytes mask_salt;
  security::SecretBytes seed_share;
  security::SecretBytes seed_salt;
};

// Terminal: the site holds no secret of the attempt any more.
class Revealed {
 public:
  explicit Revealed(AttemptId attempt) : attempt_(attempt) {}
  const AttemptId& attempt() const { return attempt_; }

 private:
  AttemptId attempt_;
};

// Has signed one survivor set, and will sign no other.
class Committed {
 public:
  // Phase 4: gives one share of every dealer, the mask key's if it dropped out, the seed's if it
  // survived. Only for at least t valid votes of members of the very set that this site signed.
  base::Result<Durable<Revealed, RevealedShares>> Reveal(const CommitVotes& votes,
                                                         const PastChoices& past) &&;

  // For a survivor set that comes a second time: success if it is the one that was signed (send
  // vote() again), kFailedPrecondition if it is another.
  base::Status CheckSurvivors(const SurvivorSet& set) const;
  const CommitVote& vote() const { return vote_; }

 private:
  friend class Masked;
  SiteAttempt site_;
  CommitVote vote_;
  std::map<SiteIndex, HeldShares> held_;
};

// The masked vector is made; phase 2 is sending it.
class Masked {
 public:
  // Phase 3: signs the survivor set if it has at least max(t, minimum cohort) members, this site
  // among them, all of which dealt shares that this site holds.
  base::Result<Durable<Committed, CommitVote>> Commit(const SurvivorSet& set,
                                                      const PastChoices& past) &&;
  const Digest& binding() const { return binding_; }

 private:
  friend class Paired;
  SiteAttempt site_;
  Digest binding_{};
  Digest agreement_{};
  std::map<SiteIndex, HeldShares> held_;
};

// Holds every peer's shares: the last point at which a site can leave without a debit. The worker
// is asked for its update from here.
class Paired {
 public:
  // Phase 2: values[i] (each within int32, words of them) plus every mask, mod 2^32. `context` is
  // HashContext of what this site was given to train on.
  base::Result<Step<Masked, MaskedUpload>> Mask(std::span<const std::int64_t> values,
                                                const Digest& context) &&;
  const Digest& binding() const { return binding_; }
  // The sites that dealt, this one included: whose masks enter the sum.
  std::vector<SiteIndex> dealers() const;

 private:
  friend class Shared;
  SiteAttempt site_;
  Digest binding_{};
  Digest sharing_{};
  security::SecretBytes mask_private_key_;
  security::SecretBytes seed_;
  std::map<SiteIndex, security::X25519PublicKey> mask_keys_;  // of the dealers
  std::map<SiteIndex, HeldShares> held_;                      // by dealer, this site included
};

// Has dealt its shares.
class Shared {
 public:
  // Phase 1, second half: opens the peers' shares and checks them against their dealers' signed
  // commitments.
  base::Result<Paired> Pair(const Delivery& delivery) &&;
  const Digest& binding() const { return binding_; }

 private:
  friend class Advertised;
  SiteAttempt site_;
  Digest binding_{};
  Roster roster_;
  security::SecretBytes share_private_key_;
  security::SecretBytes mask_private_key_;
  security::SecretBytes seed_;
  DealCommitments own_commitments_;
  HeldShares own_shares_;
};

// Has published two fresh keys.
class Advertised {
 public:
  // Phase 0. kInvalidArgument for terms, index or identity that do not fit together,
  // kFailedPrecondition when the round was started before (PastChoices::CheckStart).
  static base::Result<Durable<Advertised, Advertisement>> Start(
      std::shared_ptr<const Terms> terms, const AttemptId& attempt, SiteIndex self,
      std::shared_ptr<const security::Ed25519KeyPair> identity, const PastChoices& past);

  // Phase 1, first half: deals shares of its mask key and of its seed to the roster, which must
  // hold its own advertisement unchanged, only sites that the job names with their valid
  // signatures, none twice, and at least max(t, minimum cohort) of them.
  base::Result<Step<Shared, Deal>> Share(const Roster& roster) &&;

  const Advertisement& advertisement() const { return advertisement_; }

 private:
  SiteAttempt site_;
  Advertisement advertisement_;
  security::SecretBytes share_private_key_;
  security::SecretBytes mask_private_key_;
};

}  // namespace cloister::federation::protocol
