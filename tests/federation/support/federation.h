#pragma once

#include <functional>
#include <future>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "federation/coordinator/coordinator.h"
#include "federation/rpc/client.h"
#include "federation/rpc/server.h"
#include "federation/site/site.h"
#include "tests/federation/support/fake_worker.h"
#include "tests/federation/support/parties.h"

namespace cloister::federation::test {

// A whole federation in one process, over real gRPC and TLS on a free port of loopback; only the
// workers are fakes. Everything ends with it.
class Federation {
 public:
  using Report = base::Result<nlohmann::ordered_json>;

  explicit Federation(std::size_t sites, std::int64_t rounds = 2, std::int64_t hidden = 64);
  ~Federation();

  void StartCoordinator();
  base::Status Submit() { return Submit(job::Sign(parties.job, parties.submitter)); }
  base::Status Submit(const job::SignedJob& job);

  // `change` may alter a site's options before it starts.
  using Change = std::function<void(site::Options&)>;
  void StartSite(std::size_t site, const Change& change = {});
  void StartSites(std::size_t first, std::size_t last);

  // Stopped, and so an error, when it does not come by itself within a minute.
  Report CoordinatorResult();
  Report SiteResult(std::size_t site) { return site_results_.at(site).get(); }
  void StopCoordinator() { coordinator_stop_.request_stop(); }
  void StopSite(std::size_t site) { stops_.at(site).request_stop(); }

  std::string address() const { return server_->address(); }
  std::filesystem::path output() const { return folder_.path() / "adapter"; }
  std::filesystem::path StateOf(std::size_t site) const;
  // The recorded sum of a round, empty where none was opened.
  std::vector<std::int64_t> RecordedSum(std::int64_t round) const;

  Authority authority;
  Parties parties;
  PlainUpdates updates;
  FakeWorker::Hook before_training;
  std::function<void(coordinator::Options&)> change_coordinator;  // before it starts

 private:
  site::Options OptionsOf(std::size_t site);

  TemporaryFolder folder_;
  model::Architecture architecture_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<coordinator::State> state_;
  std::unique_ptr<coordinator::Coordinator> coordinator_;
  std::stop_source coordinator_stop_;
  std::future<Report> coordinator_result_;
  std::map<std::size_t, std::stop_source> stops_;
  std::map<std::size_t, std::future<Report>> site_results_;
};

// A real stream that breaks off instead of sending its message number `survives` + 1.
std::unique_ptr<rpc::SiteStream> BreakAfter(std::unique_ptr<rpc::SiteStream> stream, int survives);

}  // namespace cloister::federation::test
