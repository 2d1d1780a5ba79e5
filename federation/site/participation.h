#pragma once

#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "federation/job/job.h"
#include "federation/rpc/client.h"
#include "federation/site/inbox.h"
#include "federation/site/journal.h"
#include "federation/site/site.h"

namespace cloister::federation::site {

// A site's part in one job, over one stream. Not thread-safe but for Interrupt.
class Participation {
 public:
  Participation(const Options& options, Journal journal)
      : options_(options), journal_(std::move(journal)) {}

  // From the offer to the good end. An error is what made the site leave.
  base::Status Run(rpc::SiteStream& stream, Inbox& inbox);
  // After Run: the held-out loss of the result, then the report, also on disk.
  base::Result<nlohmann::ordered_json> Report(const rpc::SiteStream& stream);

  // After Run: its error is what the policy does not allow.
  bool vetoed() const { return vetoed_; }

  // Makes a waiting worker call return. From any thread.
  void Interrupt();

 private:
  base::Status Accept(const job::SignedJob& offer, rpc::SiteStream& stream);
  base::Status StartWorker();
  base::Status Veto(base::Status checked);
  base::Status TakeResult(const rpc::Round& last, Inbox& inbox);
  worker::Open OpenMessage() const;
  base::Status RunRound(const rpc::Round& round, rpc::SiteStream& stream, Inbox& inbox);
  base::Result<std::vector<std::int64_t>> Train(std::uint64_t round, std::uint64_t attempt,
                                                std::span<const float> parameters);

  const Options& options_;
  Journal journal_;
  job::Job job_;
  std::shared_ptr<const protocol::Terms> terms_;
  protocol::SiteIndex self_ = 0;
  std::mutex worker_mutex_;  // over the pointer, for Interrupt
  std::unique_ptr<WorkerChannel> worker_;
  bool interrupted_ = false;
  bool vetoed_ = false;
  worker::Evaluated before_;
  worker::Update privacy_;
  std::vector<float> result_;
  std::uint64_t last_round_ = 0;    // the last that this process began
  std::uint64_t rounds_taken_ = 0;  // of those, how many to the end
};

}  // namespace cloister::federation::site
