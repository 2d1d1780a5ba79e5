#include "tests/federation/support/federation.h"

#include <cstring>
#include <utility>

#include "base/file.h"
#include "model/adapter.h"

namespace cloister::federation::test {
namespace {

class BreakingStream final : public rpc::SiteStream {
 public:
  BreakingStream(std::unique_ptr<rpc::SiteStream> stream, int survives)
      : stream_(std::move(stream)), survives_(survives) {}

  base::Status Send(const rpc::SiteMessage& message) override {
    if (survives_-- > 0) return stream_->Send(message);
    stream_->Cancel();
    return base::Fail(base::Code::kUnavailable, "the test broke the stream");
  }
  base::Result<rpc::CoordinatorMessage> Receive() override { return stream_->Receive(); }
  void Leave(const rpc::End&) override { stream_->Cancel(); }
  void Cancel() override { stream_->Cancel(); }
  std::uint64_t bytes_sent() const override { return stream_->bytes_sent(); }
  std::uint64_t bytes_received() const override { return stream_->bytes_received(); }

 private:
  std::unique_ptr<rpc::SiteStream> stream_;
  int survives_;
};

}  // namespace

std::unique_ptr<rpc::SiteStream> BreakAfter(std::unique_ptr<rpc::SiteStream> stream, int survives) {
  return std::make_unique<BreakingStream>(std::move(stream), survives);
}

Federation::Federation(std::size_t sites, std::int64_t rounds, std::int64_t hidden)
    : parties(sites, rounds), architecture_(SmallArchitecture(hidden)) {}

Federation::~Federation() {
  coordinator_stop_.request_stop();
  for (auto& [site, stop] : stops_) stop.request_stop();
  for (auto& [site, result] : site_results_) {
    if (result.valid()) result.wait();
  }
  if (coordinator_result_.valid()) coordinator_result_.wait();
}

void Federation::StartCoordinator() {
  coordinator_.reset();
  state_.reset();
  server_ = rpc::Server::Start("127.0.0.1:0", authority.Coordinator()).value();
  state_ = coordinator::State::Open(folder_.path() / "coordinator").value();
  coordinator::Options options;
  options.architecture = architecture_;
  options.base_model = "base";
  options.output = folder_.path() / "adapter";
  options.submitters = {parties.submitter.public_key};
  if (change_coordinator) change_coordinator(options);
  options.record_sums = folder_.path() / "sums";
  coordinator_ = std::make_unique<coordinator::Coordinator>(*server_, *state_, std::move(options));
  coordinator_result_ = std::async(std::launch::async, [this] {
    Report report = coordinator_->RunOne(coordinator_stop_.get_token());
    server_->Shutdown(std::chrono::seconds(5));
    return report;
  });
}

Federation::Report Federation::CoordinatorResult() {
  if (coordinator_result_.wait_for(std::chrono::minutes(1)) != std::future_status::ready) {
    coordinator_stop_.request_stop();
  }
  return coordinator_result_.get();
}

base::Status Federation::Submit(const job::SignedJob& job) {
  return rpc::SubmitJob(address(), authority.Site("submitter"), job);
}

site::Options Federation::OptionsOf(std::size_t site) {
  site::Options options;
  options.coordinator = address();
  options.files = authority.Site(parties.NameOf(site));
  options.identity = parties.identities.at(site);
  options.policy = parties.PolicyAllowing();
  options.model = "base";
  options.data = "data";
  options.state = StateOf(site);
  options.threads = 1;
  options.micro_batch_tokens = 1024;
  const std::int64_t parameters =
      model::AdapterSize(model::AdapterLayout(parties.job.lora, architecture_));
  options.start_worker = [this, site,
                          parameters]() -> base::Result<std::unique_ptr<site::WorkerChannel>> {
    return std::make_unique<FakeWorker>(parties.NameOf(site), parameters, updates, before_training);
  };
  return options;
}

void Federation::StartSite(std::size_t site, const Change& change) {
  site::Options options = OptionsOf(site);
  if (change) change(options);
  const std::stop_token stop = stops_[site].get_token();
  site_results_[site] = std::async(std::launch::async, [options = std::move(options), stop] {
    return site::TakePart(options, stop);
  });
}

void Federation::StartSites(std::size_t first, std::size_t last) {
  for (std::size_t site = first; site < last; ++site) StartSite(site);
}

std::filesystem::path Federation::StateOf(std::size_t site) const {
  return folder_.path() / parties.NameOf(site);
}

std::vector<std::int64_t> Federation::RecordedSum(std::int64_t round) const {
  const auto text =
      base::ReadFile(folder_.path() / "sums" / ("round-" + std::to_string(round) + ".i64"));
  if (!text) return {};
  std::vector<std::int64_t> sum(text->size() / sizeof(std::int64_t));
  std::memcpy(sum.data(), text->data(), sum.size() * sizeof(std::int64_t));
  return sum;
}

}  // namespace cloister::federation::test
