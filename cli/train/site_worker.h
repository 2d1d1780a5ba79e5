#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/frame_channel.h"
#include "base/result.h"
#include "dp/ledger/ledger.h"
#include "dp/mechanism/gaussian_mechanism.h"
#include "federation/worker/messages.h"
#include "security/random.h"
#include "trainer/data/record_data.h"
#include "trainer/trainable_model.h"

namespace cloister::cli {

// The half of a federation site that sees the data (federation/worker/messages.h). It has no
// network and no key; what it hands out is held-out losses and noised, rounded sums whose spend is
// in the ledger already. Not thread-safe.
class SiteWorker {
 public:
  // Called once, before the first file of the data folder is opened: takes the network away.
  using Sandbox = base::Status (*)();
  explicit SiteWorker(Sandbox sandbox) : sandbox_(sandbox) {}

  struct Answer {
    nlohmann::json header;
    std::vector<std::byte> payload;
  };
  // Every request gets an answer; what went wrong is an answer of type "error", after which the
  // worker goes on.
  Answer Handle(const base::Frame& request);

 private:
  base::Result<Answer> Dispatch(const base::Frame& request);
  base::Result<Answer> Open(const nlohmann::json& header);
  base::Result<Answer> Train(const base::Frame& request);
  base::Result<Answer> Evaluate(const base::Frame& request);

  // Everything that an accepted `open` made.
  struct Site {
    federation::worker::Open job;
    trainer::RecordData train;
    std::vector<trainer::Example> held_out;
    std::unique_ptr<dp::Ledger> ledger;
    std::string data_set;
    dp::GaussianMechanism mechanism;
    security::AesCtrStream sampling;
    std::unique_ptr<trainer::TrainableModel> model;
  };

  Sandbox sandbox_;
  bool sandboxed_ = false;
  std::optional<Site> site_;
  std::set<std::pair<std::int64_t, std::int64_t>> answered_;  // (round, attempt)
};

// Answers requests until the peer closes the channel.
base::Status ServeWorker(base::FrameChannel& channel, SiteWorker& worker);

}  // namespace cloister::cli
