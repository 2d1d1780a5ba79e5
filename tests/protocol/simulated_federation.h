#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "federation/protocol/coordinator_session.h"
#include "federation/protocol/site_session.h"

namespace cloister::federation::protocol {

// A whole federation in one process, phase by phase, under a seeded scheduler: each phase delivers
// its messages in a random order, some of them twice, always through the wire encoding.
// Cryptographic keys still come from the operating system; the seed decides order, repetition and
// values. Everything is public, so that a test can take the part of a hostile site or coordinator.

// The point at which a site is lost.
enum class Leaves {
  kBeforeAdvertise,
  kBeforeShare,
  kBeforeUpload,
  kDuringUpload,
  kBeforeCommit,
  kBeforeReveal,
  kNever,
};
inline constexpr Leaves kEveryPoint[] = {Leaves::kBeforeAdvertise, Leaves::kBeforeShare,
                                         Leaves::kBeforeUpload,    Leaves::kDuringUpload,
                                         Leaves::kBeforeCommit,    Leaves::kBeforeReveal};

using Losses = std::map<SiteIndex, Leaves>;
using Sites = std::set<SiteIndex>;

struct SimulatedSite {
  std::shared_ptr<const security::Ed25519KeyPair> identity;
  std::vector<std::int64_t> values;
  Digest context{};
  PastChoices past;
  std::vector<Bytes> journal;

  std::optional<Advertised> advertised;
  std::optional<Shared> shared;
  std::optional<Paired> paired;
  std::optional<Masked> masked;
  std::optional<MaskedUpload> upload;
  std::optional<Committed> committed;
  std::optional<CommitVote> vote;
  std::optional<RevealedShares> revealed;
};

class SimulatedFederation {
 public:
  SimulatedFederation(std::uint32_t site_count, std::uint32_t colluders, std::uint64_t words,
                      std::uint32_t seed, std::uint64_t round = 1);

  Sites All() const;
  std::vector<std::int64_t> PlainSum(const std::vector<SiteIndex>& of) const;

  // One phase: the named sites act and the coordinator takes what they send. What a site or the
  // coordinator refuses is put into `refusals`; the refusing site sends nothing.
  void Advertise(const Sites& who);
  void Share(const Sites& who);
  void Pair(const Sites& who);
  // Sites of `partly` send their first chunk only.
  void Upload(const Sites& who, const Sites& partly = {});
  void Commit(const Sites& who);
  void Reveal(const Sites& who);

  // The coordinator goes on to the next phase.
  base::Status CloseAdvertising();
  base::Status CloseSharing();
  base::Status CloseUploading();
  base::Status CloseCommitting();
  base::Result<SecureSum> Finish();

  // All phases in turn, each site acting until it is lost.
  base::Result<SecureSum> Run(const Losses& losses);
  // The same up to (not with) the phase that is named by the point before it.
  base::Status RunUntil(Leaves point);
  std::size_t RevealCount() const;

  std::shared_ptr<const Terms> terms;
  AttemptId attempt;
  Digest context{};
  std::vector<SimulatedSite> sites;
  std::vector<std::string> refusals;

  std::optional<Advertising> advertising;
  std::optional<Sharing> sharing;
  std::optional<Uploading> uploading;
  std::optional<Committing> committing;
  std::optional<Revealing> revealing;
  Roster roster;
  std::map<SiteIndex, Delivery> deliveries;
  SurvivorSet survivor_set;
  CommitVotes votes;

 private:
  std::vector<SiteIndex> Shuffled(const Sites& who);
  bool Refused(const base::Status& status);
  template <typename Message, typename State>
  void Send(const Message& message, std::optional<State>& to);

  std::mt19937 random_;
};

// Encoded and decoded again; fails the test when that changes anything.
template <typename Message>
Message OverTheWire(const Message& message);

// Whether the words' bytes pass a chi-square test of uniformity (255 degrees of freedom, eight
// standard deviations: a true uniform sample fails once in 10^12). At least 1024 words.
bool LooksUniform(const std::vector<std::uint32_t>& words);

}  // namespace cloister::federation::protocol
