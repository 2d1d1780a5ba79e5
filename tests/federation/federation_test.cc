// A whole federation over real gRPC and mutual TLS: sums, losses in every phase, refusals.

#include "tests/federation/support/federation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "federation/site/journal.h"

namespace cloister::federation::test {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using Names = std::vector<std::string>;

Names SurvivorsOf(const nlohmann::ordered_json& report, std::size_t round) {
  return report.at("survivors").at(round - 1).get<Names>();
}

// The coordinator's sum of a round is the plain sum of its survivors' updates, in every word, and
// of no other set of the same sites.
void ExpectSum(const Federation& federation, const nlohmann::ordered_json& report,
               std::int64_t round) {
  const Names survivors = SurvivorsOf(report, static_cast<std::size_t>(round));
  const std::vector<std::int64_t> sum = federation.RecordedSum(round);
  ASSERT_FALSE(sum.empty());
  EXPECT_EQ(sum, federation.updates.Sum(survivors, round));
  EXPECT_NE(sum, federation.updates.Sum({survivors.begin() + 1, survivors.end()}, round));
}

TEST(Federation, EveryoneStaysAndTheSumIsThePlainSum) {
  Federation federation(4);
  federation.StartCoordinator();
  federation.StartSites(0, 4);
  ASSERT_TRUE(federation.Submit());
  const auto report = federation.CoordinatorResult();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->at("rounds"), 2);
  for (const int round : {1, 2}) {
    EXPECT_THAT(SurvivorsOf(*report, static_cast<std::size_t>(round)), SizeIs(4));
    ExpectSum(federation, *report, round);
  }
  for (std::size_t site = 0; site < 4; ++site) {
    const auto result = federation.SiteResult(site);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->at("loss_before"), 2.0);
    EXPECT_EQ(result->at("loss_after"), 1.5);
    EXPECT_EQ(result->at("epsilon"), 0.5);
    EXPECT_EQ(result->at("epsilon_alone"), 0.9);
    EXPECT_GT(result->at("bytes_sent"), 0);
    EXPECT_FALSE(result->contains("phase_seconds"));  // training's time depends on the draw
    EXPECT_EQ(report->at("bytes_received").at(federation.parties.NameOf(site)).get<int>() > 0,
              true);
  }
}

TEST(Federation, SevenSitesLoseTwo) {
  Federation federation(7, 1);
  federation.StartCoordinator();
  federation.StartSites(0, 5);
  for (const std::size_t site : {5U, 6U}) {
    federation.StartSite(site, [](site::Options& options) {
      options.dial =
          [options](std::stop_token stop) -> base::Result<std::unique_ptr<rpc::SiteStream>> {
        CLOISTER_ASSIGN_OR_RETURN(auto stream,
                                  rpc::SiteStream::Dial(options.coordinator, options.files,
                                                        std::chrono::seconds(5), stop));
        return BreakAfter(std::move(stream), 3);  // accepted, advertised, dealt
      };
    });
  }
  ASSERT_TRUE(federation.Submit());
  const auto report = federation.CoordinatorResult();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(SurvivorsOf(*report, 1), SizeIs(5));
  ExpectSum(federation, *report, 1);
}

TEST(Federation, AnUploadOfManyChunksArrivesWhole) {
  Federation federation(4, 1, 4096);
  federation.parties.job.lora.rank = 128;  // 526,336 words, three chunks
  federation.StartCoordinator();
  federation.StartSites(0, 4);
  ASSERT_TRUE(federation.Submit());
  const auto report = federation.CoordinatorResult();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->at("parameters"), 128 * (4096 + 16));
  ExpectSum(federation, *report, 1);
}

// A site's messages of a round: accepted the job, then advertisement, deal, chunk, seal, vote,
// shares.
struct Break {
  std::string where;
  int survives;        // messages that it still sends
  std::size_t in_sum;  // survivors of round 1
};

class LosingOneSite : public ::testing::TestWithParam<Break> {};

void StartBreaking(Federation& federation, std::size_t site, int survives) {
  federation.StartSite(site, [survives](site::Options& options) {
    options.dial = [options, survives](
                       std::stop_token stop) -> base::Result<std::unique_ptr<rpc::SiteStream>> {
      CLOISTER_ASSIGN_OR_RETURN(
          auto stream,
          rpc::SiteStream::Dial(options.coordinator, options.files, std::chrono::seconds(5), stop));
      return BreakAfter(std::move(stream), survives);
    };
  });
}

TEST_P(LosingOneSite, EndsTheRoundWithTheRightSumAndGoesOnWithoutIt) {
  Federation federation(4, 2);
  federation.StartCoordinator();
  federation.StartSites(0, 3);
  StartBreaking(federation, 3, GetParam().survives);
  ASSERT_TRUE(federation.Submit());
  const auto report = federation.CoordinatorResult();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(SurvivorsOf(*report, 1), SizeIs(GetParam().in_sum));
  EXPECT_THAT(SurvivorsOf(*report, 2), SizeIs(3));
  ExpectSum(federation, *report, 1);
  ExpectSum(federation, *report, 2);
  EXPECT_FALSE(federation.SiteResult(3));
  for (std::size_t site = 0; site < 3; ++site) EXPECT_TRUE(federation.SiteResult(site));
}

INSTANTIATE_TEST_SUITE_P(EveryPhase, LosingOneSite,
                         ::testing::Values(Break{"Advertise", 1, 3}, Break{"Share", 2, 3},
                                           Break{"UploadBegin", 3, 3}, Break{"UploadSeal", 4, 3},
                                           Break{"Commit", 5, 4}, Break{"Reveal", 6, 4}),
                         [](const auto& info) { return info.param.where; });

class LosingTwoSites : public ::testing::TestWithParam<Break> {};

TEST_P(LosingTwoSites, StopsTheJobAndOpensNothing) {
  Federation federation(4, 1);
  federation.StartCoordinator();
  federation.StartSites(0, 2);
  StartBreaking(federation, 2, GetParam().survives);
  StartBreaking(federation, 3, GetParam().survives);
  ASSERT_TRUE(federation.Submit());
  const auto report = federation.CoordinatorResult();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, base::Code::kUnavailable);
  EXPECT_THAT(report.error().message, HasSubstr("round 1"));
  EXPECT_THAT(report.error().message, HasSubstr("site-2"));
  EXPECT_TRUE(federation.RecordedSum(1).empty());
  for (std::size_t site = 0; site < 2; ++site) {
    const auto result = federation.SiteResult(site);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, base::Code::kUnavailable) << result.error().message;
    EXPECT_THAT(result.error().message, HasSubstr("the coordinator ended the job"));
    EXPECT_THAT(result.error().message, HasSubstr("site-3"));
  }
}

INSTANTIATE_TEST_SUITE_P(EveryPhase, LosingTwoSites,
                         ::testing::Values(Break{"Advertise", 1, 0}, Break{"Share", 2, 0},
                                           Break{"UploadBegin", 3, 0}, Break{"UploadSeal", 4, 0},
                                           Break{"Commit", 5, 0}, Break{"Reveal", 6, 0}),
                         [](const auto& info) { return info.param.where; });

// Sends an upload in halves, each of them well formed.
class HalvingStream final : public rpc::SiteStream {
 public:
  explicit HalvingStream(std::unique_ptr<rpc::SiteStream> stream) : stream_(std::move(stream)) {}
  base::Status Send(const rpc::SiteMessage& message) override {
    const auto* protocol = std::get_if<rpc::Protocol>(&message);
    if (protocol == nullptr) return stream_->Send(message);
    auto chunk = protocol::DecodeUploadChunk(protocol->bytes);
    if (!chunk) return stream_->Send(message);
    chunk->bytes.resize(chunk->bytes.size() / 2);
    chunk->sha256 = security::HashBytes(chunk->bytes);
    return stream_->Send(rpc::Protocol{protocol::Encode(*chunk)});
  }
  base::Result<rpc::CoordinatorMessage> Receive() override { return stream_->Receive(); }
  void Leave(const rpc::End& end) override { stream_->Leave(end); }
  void Cancel() override { stream_->Cancel(); }
  std::uint64_t bytes_sent() const override { return stream_->bytes_sent(); }
  std::uint64_t bytes_received() const override { return stream_->bytes_received(); }

 private:
  std::unique_ptr<rpc::SiteStream> stream_;
};

TEST(Federation, ASiteThatUploadsInCrumbsIsPutOut) {
  Federation federation(4, 1);
  federation.StartCoordinator();
  federation.StartSites(0, 3);
  federation.StartSite(3, [](site::Options& options) {
    options.dial =
        [options](std::stop_token stop) -> base::Result<std::unique_ptr<rpc::SiteStream>> {
      CLOISTER_ASSIGN_OR_RETURN(
          auto stream,
          rpc::SiteStream::Dial(options.coordinator, options.files, std::chrono::seconds(5), stop));
      return std::make_unique<HalvingStream>(std::move(stream));
    };
  });
  ASSERT_TRUE(federation.Submit());
  const auto report = federation.CoordinatorResult();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(SurvivorsOf(*report, 1), SizeIs(3));
  const auto result = federation.SiteResult(3);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, base::Code::kUnavailable);
  EXPECT_THAT(result.error().message, HasSubstr("chunks"));
}

TEST(Federation, ASecondLossInALaterRoundStopsTheJob) {
  Federation federation(4, 3);
  federation.StartCoordinator();
  federation.StartSites(0, 2);
  StartBreaking(federation, 2, 3);  // lost in round 1 before its upload
  StartBreaking(federation, 3, 9);  // lost in round 2 before its upload
  ASSERT_TRUE(federation.Submit());
  const auto report = federation.CoordinatorResult();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, base::Code::kUnavailable);
  EXPECT_THAT(report.error().message, HasSubstr("round 2"));
  EXPECT_THAT(report.error().message,
              HasSubstr("2 of 4 sites are lost (site-2, site-3), at least 3 must upload"));
  EXPECT_FALSE(federation.RecordedSum(1).empty());
  EXPECT_TRUE(federation.RecordedSum(2).empty());
}

TEST(Federation, ASiteThatComesBackTakesPartAgainButNeverInTheSameRound) {
  Federation federation(4, 3);
  federation.StartCoordinator();
  // Round 2 waits until the lost site has come back, so that it can take part in round 3.
  std::promise<void> returned;
  const std::shared_future<void> back = returned.get_future().share();
  federation.before_training = [&federation, back](std::int64_t round) -> base::Status {
    if (round == 2 && !federation.updates.Has("site-3", 2)) {
      back.wait_for(std::chrono::seconds(15));
    }
    return {};
  };
  federation.StartSites(0, 3);
  StartBreaking(federation, 3, 3);
  ASSERT_TRUE(federation.Submit());
  EXPECT_FALSE(federation.SiteResult(3));
  federation.StartSite(3, [&](site::Options& options) {
    const auto start = options.start_worker;
    options.dial = [options, &returned](std::stop_token stop) {
      auto stream =
          rpc::SiteStream::Dial(options.coordinator, options.files, std::chrono::seconds(5), stop);
      std::thread([&returned] {
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        returned.set_value();
      }).detach();
      return stream;
    };
  });
  const auto report = federation.CoordinatorResult();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(SurvivorsOf(*report, 1), SizeIs(3));
  EXPECT_THAT(SurvivorsOf(*report, 3), SizeIs(4));
  ExpectSum(federation, *report, 3);
  EXPECT_TRUE(federation.SiteResult(3));
}

TEST(Federation, AJobThatRanBeforeIsRefusedByCoordinatorAndSites) {
  Federation federation(4, 1);
  federation.StartCoordinator();
  federation.StartSites(0, 4);
  ASSERT_TRUE(federation.Submit());
  ASSERT_TRUE(federation.CoordinatorResult());
  for (std::size_t site = 0; site < 4; ++site) ASSERT_TRUE(federation.SiteResult(site));

  // The same coordinator's state knows it.
  federation.StartCoordinator();
  const auto again = federation.Submit();
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, base::Code::kAlreadyExists);
}

TEST(Federation, ARoundThatASiteStartedBeforeIsRefusedAfterARestart) {
  Federation federation(4, 1);
  // A coordinator without memory replays round 1: each site's journal remembers it.
  for (std::size_t site = 0; site < 4; ++site) {
    auto journal = site::Journal::Open(federation.StateOf(site));
    ASSERT_TRUE(journal);
    ASSERT_TRUE(journal->Append(protocol::StartRecord({job::Hash(federation.parties.job), 1, 1})));
  }
  federation.StartCoordinator();
  federation.StartSites(0, 4);
  ASSERT_TRUE(federation.Submit());
  const auto report = federation.CoordinatorResult();
  ASSERT_FALSE(report);
  for (std::size_t site = 0; site < 4; ++site) {
    const auto result = federation.SiteResult(site);
    ASSERT_FALSE(result);
    EXPECT_FALSE(federation.updates.Has(federation.parties.NameOf(site), 1));
  }
  EXPECT_TRUE(federation.RecordedSum(1).empty());
}

TEST(Federation, ACoordinatorThatStopsEndsTheJobAtEverySite) {
  Federation federation(4, 1);
  std::promise<void> training;
  std::once_flag once;
  federation.before_training = [&](std::int64_t) -> base::Status {
    std::call_once(once, [&] { training.set_value(); });
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    return {};
  };
  federation.StartCoordinator();
  federation.StartSites(0, 4);
  ASSERT_TRUE(federation.Submit());
  training.get_future().wait();
  federation.StopCoordinator();
  EXPECT_FALSE(federation.CoordinatorResult());
  for (std::size_t site = 0; site < 4; ++site) {
    const auto result = federation.SiteResult(site);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, base::Code::kUnavailable) << result.error().message;
  }
}

TEST(Federation, AWorkerThatFailsMakesItsSiteLeaveWithItsReason) {
  Federation federation(4, 1);
  federation.StartCoordinator();
  federation.StartSites(0, 3);
  federation.before_training = {};
  federation.StartSite(3, [&](site::Options& options) {
    options.start_worker = [&]() -> base::Result<std::unique_ptr<site::WorkerChannel>> {
      return std::make_unique<FakeWorker>("site-3", 80, federation.updates, [](std::int64_t) {
        return base::Status(
            base::Fail(base::Code::kResourceExhausted, "the data set's budget is spent"));
      });
    };
  });
  ASSERT_TRUE(federation.Submit());
  const auto report = federation.CoordinatorResult();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(SurvivorsOf(*report, 1), SizeIs(3));
  ExpectSum(federation, *report, 1);
  const auto result = federation.SiteResult(3);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, base::Code::kResourceExhausted);
}

}  // namespace
}  // namespace cloister::federation::test
