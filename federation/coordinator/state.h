#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "federation/job/signed_job.h"
#include "federation/protocol/parameters.h"

struct sqlite3;

namespace cloister::federation::coordinator {

// What the coordinator makes durable (SQLite, write-ahead log, synchronous FULL, mode 0600): jobs,
// rounds, and every transition with the signed messages that allowed it. No secret is among it. Not
// thread-safe; one process at a time.
class State {
 public:
  // Opens or makes `folder`/coordinator.sqlite. kFailedPrecondition while another process has it.
  static base::Result<std::unique_ptr<State>> Open(const std::filesystem::path& folder);
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  // kAlreadyExists for a job that was started before: its rounds are never repeated.
  base::Status StartJob(const security::Sha256Digest& hash, const job::SignedJob& job);
  base::Status EndJob(const security::Sha256Digest& hash, const std::string& outcome);

  // A phase was closed: who had answered, and the message that went out (roster, survivor set,
  // votes).
  base::Status Transition(const protocol::AttemptId& attempt, const std::string& phase,
                          std::span<const std::string> sites,
                          std::span<const std::uint8_t> message);

  // The sum was opened; `parameters` are what the strategy made of it.
  base::Status FinishRound(const protocol::AttemptId& attempt,
                           std::span<const std::string> survivors,
                           const security::Sha256Digest& sum,
                           std::span<const std::uint8_t> parameters);

  struct Row {
    std::uint64_t round = 0;
    std::uint64_t attempt = 0;
    std::string phase;
    std::string sites;  // separated by commas
  };
  base::Result<std::vector<Row>> Transitions(const security::Sha256Digest& job) const;

 private:
  explicit State(sqlite3* database) : database_(database) {}
  sqlite3* database_;
};

}  // namespace cloister::federation::coordinator
