#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <stop_token>
#include <string>

#include "base/result.h"
#include "federation/coordinator/attendance.h"
#include "federation/coordinator/state.h"
#include "federation/job/job.h"
#include "federation/protocol/coordinator_session.h"

namespace cloister::federation::coordinator {

// Told about every answer: phase name, answers so far, answers awaited in all.
using PhaseObserver =
    std::function<void(const std::string& phase, std::size_t answered, std::size_t awaited)>;

// Drives one attempt of a round through its five phases over the network. A site whose stream
// breaks or that answers wrongly is lost at once; one that is silent is lost at the phase's
// deadline; when too few can be left the attempt ends without waiting for the deadline.
class Attempt {
 public:
  Attempt(Attendance& attendance, State& state, const job::Job& job,
          std::shared_ptr<const protocol::Terms> terms, protocol::AttemptId id,
          PhaseObserver observer, std::stop_token stop);

  // Sends the round and its parameters to every site that is ready, and opens their sum.
  // kUnavailable with the reason below max(t, minimum cohort) sites: nothing was opened then.
  base::Result<protocol::SecureSum> Run(std::span<const std::uint8_t> parameters);

  const std::map<std::string, double>& phase_seconds() const { return seconds_; }

 private:
  // One site's message in a phase: true when the site has answered in full.
  using Take = std::function<base::Result<bool>(protocol::SiteIndex, const protocol::Bytes&)>;
  base::Status Collect(const std::string& phase, std::int64_t timeout_seconds,
                       std::set<protocol::SiteIndex> awaited, std::size_t needed, const Take& take);
  base::Status AwaitAnswers(std::chrono::steady_clock::time_point deadline,
                            std::set<protocol::SiteIndex> awaited, std::size_t needed,
                            const std::string& phase, const Take& take);
  base::Status TooFew(const std::string& phase, std::size_t needed,
                      const std::set<protocol::SiteIndex>& left) const;
  base::Status Record(const std::string& phase, const protocol::Bytes& message);
  void Announce(std::span<const std::uint8_t> parameters);
  void SendAll(const protocol::Bytes& message);

  base::Result<protocol::Sharing> Advertise(protocol::Advertising state);
  base::Result<protocol::Uploading> Share(protocol::Sharing state);
  base::Result<protocol::Committing> Upload(protocol::Uploading state);
  base::Result<protocol::Revealing> Commit(protocol::Committing state);
  base::Result<protocol::SecureSum> Reveal(protocol::Revealing state);

  Attendance& attendance_;
  State& state_;
  const job::Job& job_;
  std::shared_ptr<const protocol::Terms> terms_;
  protocol::AttemptId id_;
  PhaseObserver observer_;
  std::stop_token stop_;
  std::set<protocol::SiteIndex> cohort_;    // still in the attempt
  std::set<protocol::SiteIndex> answered_;  // in the present phase
  std::size_t smallest_ = 0;
  std::map<std::string, double> seconds_;
};

}  // namespace cloister::federation::coordinator
