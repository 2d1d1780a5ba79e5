#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "federation/coordinator/attendance.h"
#include "federation/coordinator/state.h"
#include "federation/rpc/server.h"
#include "model/architecture.h"

namespace cloister::federation::coordinator {

struct Options {
  std::vector<security::Ed25519PublicKey> submitters;   // whose jobs are run
  std::int64_t max_parameters = std::int64_t{1} << 26;  // largest adapter that is run
  model::Architecture architecture;  // of the base model; its tensors are never needed here
  std::string base_model;            // what the adapter folder names as its base
  std::filesystem::path output;      // PEFT adapter folder of the finished job
  bool folder_per_job = false;       // the adapter goes to output/<the job's name> instead
  // Where each round's unmasked sum is written as round-N.i64 (int64, little-endian); off when
  // absent. The sums are noised and public to the coordinator anyway.
  std::optional<std::filesystem::path> record_sums;
};

// Runs jobs, one at a time, over the sites that attend. Holds no certificate authority, no
// submitter's key, no site's update in clear. Not thread-safe.
class Coordinator {
 public:
  Coordinator(rpc::Server& server, State& state, Options options)
      : state_(state), options_(std::move(options)), server_(server), attendance_(server) {}

  // Waits for a job that can run and runs it to its end. Others are answered to their submitter:
  // kPermissionDenied for a submitter who is not among Options::submitters, kAlreadyExists for a
  // job that ran before or whose folder is there already. On success the adapter and report.json
  // lie in Options::output and every site was told. The report: job, rounds, survivors of each
  // round, epsilon, delta, colluders, phase_seconds, bytes_received and bytes_sent per site. An
  // error was told to every site that still attends. kUnavailable: too few sites or survivors.
  base::Result<nlohmann::ordered_json> RunOne(std::stop_token stop);

 private:
  State& state_;
  Options options_;
  rpc::Server& server_;
  Attendance attendance_;
};

}  // namespace cloister::federation::coordinator
