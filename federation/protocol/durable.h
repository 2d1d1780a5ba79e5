#pragma once

#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "federation/protocol/encoding.h"
#include "federation/protocol/messages.h"
#include "federation/protocol/parameters.h"

namespace cloister::federation::protocol {

// The state after a transition and the message that it sends.
template <typename State, typename Message>
struct Step {
  State state;
  Message message;
};

// The same, locked up until a record of the choice lies on disk: a site that forgets a choice could
// be led to make another one. Append `record()` to the site's journal and fsync it; then, and only
// then, call AfterPersisted. Destroy it instead when the write failed: the attempt is given up.
template <typename State, typename Message>
class Durable {
 public:
  Durable(Bytes record, Step<State, Message> step)
      : record_(std::move(record)), step_(std::move(step)) {}

  const Bytes& record() const { return record_; }
  Step<State, Message> AfterPersisted() && { return std::move(step_); }

 private:
  Bytes record_;
  Step<State, Message> step_;
};

// Every choice that a site made durable, read back from its journal. Immutable; thread-safe.
class PastChoices {
 public:
  PastChoices() = default;
  // The journal's records in the order they were written. kDataLoss for one that is malformed or
  // that contradicts an earlier one.
  static base::Result<PastChoices> FromRecords(std::span<const Bytes> records);

  // kFailedPrecondition when this round of the job was started before, in whatever attempt: without
  // signed aborts a round is never repeated, because the difference of two sums could unmask a
  // site.
  base::Status CheckStart(const AttemptId& attempt) const;
  // kFailedPrecondition when another survivor set was signed, or another share set revealed, in
  // this attempt. The same one again is allowed: it says nothing new.
  base::Status CheckCommit(const AttemptId& attempt, const CommitVote& vote) const;
  base::Status CheckReveal(const AttemptId& attempt, const RevealedShares& shares) const;

 private:
  struct Choices {
    std::optional<Digest> vote;
    std::optional<Digest> reveal;
  };
  base::Status Add(const Bytes& record);

  std::map<AttemptId, Choices> attempts_;
};

// The records: what was chosen, never a key or a share.
Bytes StartRecord(const AttemptId& attempt);
Bytes CommitRecord(const AttemptId& attempt, const CommitVote& vote);
Bytes RevealRecord(const AttemptId& attempt, const RevealedShares& shares);

}  // namespace cloister::federation::protocol
