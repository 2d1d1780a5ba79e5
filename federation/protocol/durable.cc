#include "federation/protocol/durable.h"

#include <utility>

#include "federation/protocol/message_fields.h"

namespace cloister::federation::protocol {
namespace {

enum RecordTag : std::uint16_t {
  kStart = 0xc1f0,
  kCommit = 0xc1f1,
  kReveal = 0xc1f2,
};

// A signature may be made anew over the same bytes; what counts is what it says.
Digest VoteDigest(const CommitVote& vote) { return security::HashBytes(SignedBytes(vote)); }

// Which kind of share was given for whom; never a hash of the shares themselves, which would tell a
// reader of the journal when a guess is right.
Digest RevealDigest(const RevealedShares& shares) {
  Writer writer;
  WriteDomain(writer, "reveal-choice");
  writer.Fixed(shares.binding).U16(shares.site);
  for (const RevealedShare& entry : shares.shares) {
    writer.U16(entry.dealer).U8(static_cast<std::uint8_t>(entry.kind));
  }
  return security::HashBytes(writer.bytes());
}

Bytes ChoiceRecord(RecordTag tag, const AttemptId& attempt, const Digest& choice) {
  Writer writer;
  writer.U16(tag);
  WriteAttempt(writer, attempt);
  writer.Fixed(choice);
  return std::move(writer).Take();
}

std::string Describe(const AttemptId& attempt) {
  return "round " + std::to_string(attempt.round) + ", attempt " + std::to_string(attempt.attempt) +
         " of job " + security::Hex(attempt.job).substr(0, 12);
}

tl::unexpected<base::Error> Contradiction(const AttemptId& attempt) {
  return base::Fail(base::Code::kDataLoss,
                    "journal of choices, " + Describe(attempt) +
                        ": a record contradicts those before it: the file was changed or lines are "
                        "missing; take part under a new identity key only");
}

}  // namespace

Bytes StartRecord(const AttemptId& attempt) { return ChoiceRecord(kStart, attempt, Digest{}); }

Bytes CommitRecord(const AttemptId& attempt, const CommitVote& vote) {
  return ChoiceRecord(kCommit, attempt, VoteDigest(vote));
}

Bytes RevealRecord(const AttemptId& attempt, const RevealedShares& shares) {
  return ChoiceRecord(kReveal, attempt, RevealDigest(shares));
}

base::Status PastChoices::Add(const Bytes& record) {
  Reader reader(record, "journal of choices: a record");
  const std::uint16_t tag = reader.U16();
  const AttemptId attempt = ReadAttempt(reader);
  const Digest choice = reader.Array<32>();
  if (tag != kStart && tag != kCommit && tag != kReveal) reader.Fail("it is of no known kind");
  CLOISTER_RETURN_IF_ERROR(reader.Finish());
  if (tag == kStart) {
    if (choice != Digest{} || !attempts_.try_emplace(attempt).second) return Contradiction(attempt);
    return {};
  }
  const auto found = attempts_.find(attempt);
  if (found == attempts_.end()) return Contradiction(attempt);
  Choices& choices = found->second;
  if (tag == kReveal && !choices.vote) return Contradiction(attempt);
  std::optional<Digest>& slot = tag == kCommit ? choices.vote : choices.reveal;
  if (slot && *slot != choice) return Contradiction(attempt);
  slot = choice;
  return {};
}

base::Result<PastChoices> PastChoices::FromRecords(std::span<const Bytes> records) {
  PastChoices past;
  for (const Bytes& record : records) CLOISTER_RETURN_IF_ERROR(past.Add(record));
  return past;
}

base::Status PastChoices::CheckStart(const AttemptId& attempt) const {
  for (const auto& [past, choices] : attempts_) {
    if (past.job == attempt.job && past.round == attempt.round) {
      return base::Fail(base::Code::kFailedPrecondition,
                        Describe(attempt) + ": this site took part in attempt " +
                            std::to_string(past.attempt) +
                            " of the round already, and a round is never repeated: go on with the "
                            "next round");
    }
  }
  return {};
}

base::Status PastChoices::CheckCommit(const AttemptId& attempt, const CommitVote& vote) const {
  const auto found = attempts_.find(attempt);
  if (found == attempts_.end() || !found->second.vote || *found->second.vote == VoteDigest(vote)) {
    return {};
  }
  return base::Fail(base::Code::kFailedPrecondition,
                    Describe(attempt) +
                        ": this site signed another survivor set before, and signs one only: the "
                        "coordinator must use that one or give the attempt up");
}

base::Status PastChoices::CheckReveal(const AttemptId& attempt,
                                      const RevealedShares& shares) const {
  const auto found = attempts_.find(attempt);
  if (found == attempts_.end() || !found->second.reveal ||
      *found->second.reveal == RevealDigest(shares)) {
    return {};
  }
  return base::Fail(base::Code::kFailedPrecondition,
                    Describe(attempt) +
                        ": this site revealed other shares before, and never gives both shares of "
                        "a site: the coordinator must give the attempt up");
}

}  // namespace cloister::federation::protocol
