#include "federation/coordinator/attempt.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "federation/job/round_context.h"

namespace cloister::federation::coordinator {
namespace {

using Clock = std::chrono::steady_clock;
using protocol::SiteIndex;

// Chunks carry no signature of their own: the stream's authenticated name stands for them, so a
// message must name the site that sent it.
base::Status CheckSender(SiteIndex sender, SiteIndex claimed) {
  if (sender == claimed) return {};
  return base::Fail(base::Code::kUnauthenticated, "it sent a message in another site's name");
}

// Every chunk costs an event and an answer: small ones are only for the end.
base::Status CheckFull(const protocol::UploadChunk& chunk, std::uint64_t whole) {
  if (chunk.bytes.size() >= rpc::kChunkBytes) return {};
  if (chunk.offset <= whole && chunk.bytes.size() == whole - chunk.offset) return {};
  return base::Fail(base::Code::kDataLoss,
                    "its upload comes in chunks below 1 MiB: use the same version of cloister");
}

}  // namespace

Attempt::Attempt(Attendance& attendance, State& state, const job::Job& job,
                 std::shared_ptr<const protocol::Terms> terms, protocol::AttemptId id,
                 PhaseObserver observer, std::stop_token stop)
    : attendance_(attendance),
      state_(state),
      job_(job),
      terms_(std::move(terms)),
      id_(id),
      observer_(std::move(observer)),
      stop_(std::move(stop)),
      cohort_(attendance.ready()),
      smallest_(protocol::SmallestCohort(terms_->parameters)) {}

base::Result<protocol::SecureSum> Attempt::Run(std::span<const std::uint8_t> parameters) {
  CLOISTER_ASSIGN_OR_RETURN(
      protocol::Advertising advertising,
      protocol::Advertising::Start(terms_, id_, job::ContextOf(job_, id_.round, parameters)));
  Announce(parameters);
  CLOISTER_ASSIGN_OR_RETURN(protocol::Sharing sharing, Advertise(std::move(advertising)));
  CLOISTER_ASSIGN_OR_RETURN(protocol::Uploading uploading, Share(std::move(sharing)));
  CLOISTER_ASSIGN_OR_RETURN(protocol::Committing committing, Upload(std::move(uploading)));
  CLOISTER_ASSIGN_OR_RETURN(protocol::Revealing revealing, Commit(std::move(committing)));
  return Reveal(std::move(revealing));
}

void Attempt::Announce(std::span<const std::uint8_t> parameters) {
  rpc::Round round;
  round.round = id_.round;
  round.attempt = id_.attempt;
  round.bytes = parameters.size();
  round.sha256 = security::HashBytes(parameters);
  for (const SiteIndex site : cohort_) {
    attendance_.Send(site, round);
    for (std::size_t offset = 0; offset < parameters.size(); offset += rpc::kChunkBytes) {
      const auto chunk =
          parameters.subspan(offset, std::min(rpc::kChunkBytes, parameters.size() - offset));
      attendance_.Send(site, rpc::ParameterChunk{offset, {chunk.begin(), chunk.end()}});
    }
  }
}

base::Result<protocol::Sharing> Attempt::Advertise(protocol::Advertising state) {
  const Take take = [&](SiteIndex site, const protocol::Bytes& bytes) -> base::Result<bool> {
    CLOISTER_ASSIGN_OR_RETURN(const auto message, protocol::DecodeAdvertisement(bytes));
    CLOISTER_RETURN_IF_ERROR(CheckSender(site, message.site));
    CLOISTER_RETURN_IF_ERROR(state.Add(message));
    return true;
  };
  CLOISTER_RETURN_IF_ERROR(Collect("advertise", job_.timeouts.advertise, cohort_, smallest_, take));
  CLOISTER_ASSIGN_OR_RETURN(auto step, std::move(state).Close());
  const protocol::Bytes roster = protocol::Encode(step.message);
  CLOISTER_RETURN_IF_ERROR(Record("advertise", roster));
  SendAll(roster);
  return std::move(step.state);
}

base::Result<protocol::Uploading> Attempt::Share(protocol::Sharing state) {
  const Take take = [&](SiteIndex site, const protocol::Bytes& bytes) -> base::Result<bool> {
    CLOISTER_ASSIGN_OR_RETURN(const auto message, protocol::DecodeDeal(bytes));
    CLOISTER_RETURN_IF_ERROR(CheckSender(site, message.commitments.dealer));
    CLOISTER_RETURN_IF_ERROR(state.Add(message));
    return true;
  };
  CLOISTER_RETURN_IF_ERROR(Collect("share", job_.timeouts.share, cohort_, smallest_, take));
  CLOISTER_ASSIGN_OR_RETURN(auto step, std::move(state).Close());
  CLOISTER_RETURN_IF_ERROR(Record("share", {}));
  for (const auto& [site, delivery] : step.message) {
    attendance_.Send(site, rpc::Protocol{protocol::Encode(delivery)});
  }
  return std::move(step.state);
}

base::Result<protocol::Committing> Attempt::Upload(protocol::Uploading state) {
  const Take take = [&](SiteIndex site, const protocol::Bytes& bytes) -> base::Result<bool> {
    if (const auto chunk = protocol::DecodeUploadChunk(bytes)) {
      CLOISTER_RETURN_IF_ERROR(CheckSender(site, chunk->site));
      CLOISTER_RETURN_IF_ERROR(CheckFull(*chunk, 4 * terms_->words));
      CLOISTER_ASSIGN_OR_RETURN(const std::uint64_t held, state.Add(*chunk));
      attendance_.Send(site, rpc::UploadAck{held});
      return false;
    }
    CLOISTER_ASSIGN_OR_RETURN(const auto seal, protocol::DecodeUploadSeal(bytes));
    CLOISTER_RETURN_IF_ERROR(CheckSender(site, seal.site));
    CLOISTER_RETURN_IF_ERROR(state.Add(seal));
    return true;
  };
  CLOISTER_RETURN_IF_ERROR(Collect("upload", job_.timeouts.upload, cohort_, smallest_, take));
  CLOISTER_ASSIGN_OR_RETURN(auto step, std::move(state).Close());
  const protocol::Bytes survivors = protocol::Encode(step.message);
  CLOISTER_RETURN_IF_ERROR(Record("upload", survivors));
  SendAll(survivors);
  return std::move(step.state);
}

base::Result<protocol::Revealing> Attempt::Commit(protocol::Committing state) {
  const Take take = [&](SiteIndex site, const protocol::Bytes& bytes) -> base::Result<bool> {
    CLOISTER_ASSIGN_OR_RETURN(const auto vote, protocol::DecodeCommitVote(bytes));
    CLOISTER_RETURN_IF_ERROR(CheckSender(site, vote.site));
    CLOISTER_RETURN_IF_ERROR(state.Add(vote));
    return true;
  };
  const std::size_t threshold = terms_->parameters.threshold;
  CLOISTER_RETURN_IF_ERROR(Collect("commit", job_.timeouts.commit, cohort_, threshold, take));
  CLOISTER_ASSIGN_OR_RETURN(auto step, std::move(state).Close());
  const protocol::Bytes votes = protocol::Encode(step.message);
  CLOISTER_RETURN_IF_ERROR(Record("commit", votes));
  SendAll(votes);
  return std::move(step.state);
}

base::Result<protocol::SecureSum> Attempt::Reveal(protocol::Revealing state) {
  const Take take = [&](SiteIndex site, const protocol::Bytes& bytes) -> base::Result<bool> {
    CLOISTER_ASSIGN_OR_RETURN(const auto shares, protocol::DecodeRevealedShares(bytes));
    CLOISTER_RETURN_IF_ERROR(CheckSender(site, shares.site));
    CLOISTER_RETURN_IF_ERROR(state.Add(shares));
    return true;
  };
  const std::size_t threshold = terms_->parameters.threshold;
  CLOISTER_RETURN_IF_ERROR(Collect("reveal", job_.timeouts.reveal, cohort_, threshold, take));
  for (const protocol::Blame& blame : state.blamed()) {
    base::LogWarning("site " + attendance_.NameOf(blame.site) + ": " + blame.reason);
  }
  CLOISTER_RETURN_IF_ERROR(Record("reveal", {}));
  return std::move(state).Finish();
}

base::Status Attempt::Collect(const std::string& phase, std::int64_t timeout_seconds,
                              std::set<SiteIndex> awaited, std::size_t needed, const Take& take) {
  const auto start = Clock::now();
  answered_.clear();
  base::Status status = AwaitAnswers(start + std::chrono::seconds(timeout_seconds),
                                     std::move(awaited), needed, phase, take);
  seconds_[phase] += std::chrono::duration<double>(Clock::now() - start).count();
  if (!status) return status;
  // With too few answers the job ends, for its own reason, for everyone.
  if (cohort_.size() < needed) return TooFew(phase, needed, cohort_);
  if (answered_.size() < needed) return TooFew(phase, needed, answered_);
  // Whoever did not answer has left the attempt: later it could only confuse or be confused.
  for (const SiteIndex site : cohort_) {
    if (answered_.contains(site)) continue;
    attendance_.Drop(
        site, {base::Code::kDeadlineExceeded,
               "no answer in time in phase " + phase + " of round " + std::to_string(id_.round)});
  }
  cohort_ = answered_;
  return {};
}

base::Status Attempt::TooFew(const std::string& phase, std::size_t needed,
                             const std::set<SiteIndex>& left) const {
  std::set<SiteIndex> lost;  // of the whole job, whenever they were lost
  for (std::size_t i = 0; i < job_.sites.size(); ++i) {
    const auto site = static_cast<SiteIndex>(i);
    if (!left.contains(site)) lost.insert(site);
  }
  std::string names;
  for (const std::string& name : attendance_.NamesOf(lost)) {
    names += (names.empty() ? "" : ", ") + name;
  }
  return base::Fail(base::Code::kUnavailable,
                    std::to_string(lost.size()) + " of " + std::to_string(job_.sites.size()) +
                        " sites are lost (" + names + "), at least " + std::to_string(needed) +
                        " must " + phase +
                        ": nothing was opened; bring the sites back and submit the job under "
                        "another name");
}

base::Status Attempt::AwaitAnswers(Clock::time_point deadline, std::set<SiteIndex> awaited,
                                   std::size_t needed, const std::string& phase, const Take& take) {
  const std::size_t all = awaited.size();
  observer_(phase, 0, all);
  while (!awaited.empty() && answered_.size() + awaited.size() >= needed) {
    auto incoming = attendance_.Next(deadline, stop_);
    if (!incoming && incoming.error().code == base::Code::kDeadlineExceeded) break;
    if (!incoming) return base::Forward(std::move(incoming));
    if (!*incoming) continue;
    const SiteIndex site = (*incoming)->site;
    if (!cohort_.contains(site)) {
      // It waits for the next round and has nothing to say in this one.
      if ((*incoming)->message) {
        attendance_.Drop(site, {base::Code::kFailedPrecondition, "it is not in this round"});
      }
      continue;
    }
    base::Result<bool> answered = false;
    if ((*incoming)->message && awaited.contains(site)) {
      answered = take(site, *(*incoming)->message);
      if (!answered) attendance_.Drop(site, answered.error());
    } else if ((*incoming)->message) {
      answered = base::Fail(base::Code::kFailedPrecondition, "two answers in phase " + phase);
      attendance_.Drop(site, answered.error());
    }
    if (!(*incoming)->message || !answered) {  // lost, or as good as lost
      awaited.erase(site);
      cohort_.erase(site);
      observer_(phase, answered_.size(), answered_.size() + awaited.size());
    } else if (*answered) {
      awaited.erase(site);
      answered_.insert(site);
      observer_(phase, answered_.size(), answered_.size() + awaited.size());
    }
  }
  return {};
}

base::Status Attempt::Record(const std::string& phase, const protocol::Bytes& message) {
  return state_.Transition(id_, phase, attendance_.NamesOf(answered_), message);
}

void Attempt::SendAll(const protocol::Bytes& message) {
  for (const SiteIndex site : cohort_) attendance_.Send(site, rpc::Protocol{message});
}

}  // namespace cloister::federation::coordinator
