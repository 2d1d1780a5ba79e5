#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "base/progress.h"
#include "base/result.h"
#include "federation/aggregation/strategy.h"
#include "federation/coordinator/attendance.h"
#include "federation/coordinator/coordinator.h"
#include "federation/coordinator/state.h"
#include "federation/job/job.h"
#include "federation/protocol/coordinator_session.h"

namespace cloister::federation::coordinator {

// One job from its first round to the adapter. Not thread-safe.
class JobRun {
 public:
  // kInvalidArgument when the job does not fit the model (job::ValidateFor) or is larger than
  // Options::max_parameters; kAlreadyExists when an earlier job's folder has its name.
  static base::Result<std::unique_ptr<JobRun>> Create(const Options& options, const job::Job& job);
  const job::Job& job() const { return job_; }
  const security::Sha256Digest& hash() const { return terms_->job; }
  std::uint64_t words() const { return terms_->words; }

  // Waits until every site of the job has accepted or declined, or the gather timeout.
  base::Status Gather(Attendance& attendance, std::stop_token stop);
  base::Status RunRounds(Attendance& attendance, State& state, std::stop_token stop);
  // Sends the results to the sites, writes adapter and report.
  base::Result<nlohmann::ordered_json> Finish(Attendance& attendance);

 private:
  JobRun(const Options& options, const job::Job& job, aggregation::FedSgd strategy)
      : options_(options), job_(job), strategy_(std::move(strategy)) {}

  base::Status RunRound(Attendance& attendance, State& state, std::uint64_t round,
                        std::stop_token stop);
  base::Status Apply(const protocol::SecureSum& sum);
  base::Status RecordSum(std::uint64_t round, const protocol::Bytes& sum) const;
  std::filesystem::path output() const;
  nlohmann::ordered_json Report(const Attendance& attendance) const;
  void Show(const std::string& phase, std::size_t answered, std::size_t awaited);

  const Options& options_;
  const job::Job job_;
  std::shared_ptr<const protocol::Terms> terms_;
  std::vector<float> parameters_;
  aggregation::FedSgd strategy_;
  double epsilon_ = 0;
  double epsilon_alone_ = 0;
  std::vector<std::vector<std::string>> survivors_;  // of each round
  std::map<std::string, double> phase_seconds_;
  std::unique_ptr<base::Progress> progress_;
};

}  // namespace cloister::federation::coordinator
