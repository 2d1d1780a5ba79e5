#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "federation/site/worker_channel.h"

namespace cloister::federation::test {

// What every site's worker gave away, in clear, for comparison with the coordinator's sum.
class PlainUpdates {
 public:
  void Record(const std::string& site, std::int64_t round, std::vector<std::int64_t> values);
  // Sum over these sites; empty where one of them gave nothing in this round.
  std::vector<std::int64_t> Sum(const std::vector<std::string>& sites, std::int64_t round) const;
  bool Has(const std::string& site, std::int64_t round) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, std::int64_t>, std::vector<std::int64_t>> values_;
};

// A worker without a model: known integers, no data. `before_training` runs first and may fail.
class FakeWorker : public site::WorkerChannel {
 public:
  using Hook = std::function<base::Status(std::int64_t round)>;
  FakeWorker(std::string site, std::int64_t parameters, PlainUpdates& updates, Hook before_training)
      : site_(std::move(site)),
        parameters_(parameters),
        updates_(updates),
        before_training_(std::move(before_training)) {}

  base::Result<worker::Opened> Open(const worker::Open& open) override;
  base::Result<worker::Evaluated> Evaluate(std::span<const float> parameters) override;
  base::Result<NoisedUpdate> Train(const worker::Train& train,
                                   std::span<const float> parameters) override;
  void Interrupt() override {}

 private:
  std::string site_;
  std::int64_t parameters_;
  PlainUpdates& updates_;
  Hook before_training_;
};

}  // namespace cloister::federation::test
