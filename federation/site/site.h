#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <string>

#include "base/result.h"
#include "federation/rpc/client.h"
#include "federation/rpc/tls.h"
#include "federation/site/policy.h"
#include "federation/site/worker_channel.h"
#include "security/primitives.h"

namespace cloister::federation::site {

struct Options {
  std::string coordinator;  // host:port
  rpc::TlsFiles files;      // the certificate's name is the site's
  std::shared_ptr<const security::Ed25519KeyPair> identity;
  Policy policy;
  std::filesystem::path model;
  std::filesystem::path data;   // only passed on to the worker
  std::filesystem::path state;  // journal, ledger, outgoing messages, report.json; mode 0600
  std::int64_t threads = 0;
  std::int64_t micro_batch_tokens = 0;
  // Where the owner keeps each round's noised integers (round-N.i64, int64, little-endian); off
  // when absent.
  std::optional<std::filesystem::path> record_updates;
  std::function<base::Result<std::unique_ptr<WorkerChannel>>()> start_worker;
  // How long the coordinator may be silent beyond what the job's timeouts allow for.
  std::chrono::seconds patience{60};
  // How to reach the coordinator; rpc::SiteStream::Dial when empty.
  std::function<base::Result<std::unique_ptr<rpc::SiteStream>>(std::stop_token)> dial;
};

// Takes part in one job, then ends: dials the coordinator, checks the job it is offered against the
// policy, answers the rounds, evaluates the result on held-out rows, writes state/report.json and
// returns it: loss_before, loss_after, evaluation_rows, epsilon, epsilon_alone, delta, colluders,
// bytes_sent, bytes_received; ε as the ledger has it for the whole job. No time of a phase is among
// it: how long training took depends on the secret draw. Losses never leave this host.
// kPermissionDenied for a veto and where the job does not name this site; kResourceExhausted when
// the data set's budget does not bear the job; kUnavailable when the coordinator is lost or ends
// the job early, kDeadlineExceeded when it falls silent; kCancelled when `stop` is requested.
base::Result<nlohmann::ordered_json> TakePart(const Options& options, std::stop_token stop);

}  // namespace cloister::federation::site
