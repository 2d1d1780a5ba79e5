// Who is refused, with which error: policies, strangers, forged jobs.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <future>
#include <string>

#include "federation/job/job_rules.h"
#include "tests/federation/support/federation.h"

namespace cloister::federation::test {
namespace {

using ::testing::HasSubstr;

// Three willing sites cannot make up for a fourth here: every site of three is needed.
struct Refusal {
  base::Code code;
  std::string message;
};

Refusal RefusalOf(const Federation::Change& change) {
  Federation federation(4, 1);
  federation.StartCoordinator();
  federation.StartSites(0, 3);
  federation.StartSite(3, change);
  EXPECT_TRUE(federation.Submit());
  const auto report = federation.CoordinatorResult();
  EXPECT_TRUE(report) << report.error().message;  // the others go on
  const auto result = federation.SiteResult(3);
  if (result) return {base::Code::kOk, ""};
  EXPECT_FALSE(federation.updates.Has("site-3", 1));
  return {result.error().code, result.error().message};
}

TEST(Policy, AnAllowingPolicyRefusesNothing) { EXPECT_EQ(RefusalOf({}).code, base::Code::kOk); }

TEST(Policy, VetoesAnUnknownSubmitter) {
  const auto refusal = RefusalOf([](site::Options& options) {
    options.policy.submitters = {security::GenerateEd25519().public_key};
  });
  EXPECT_EQ(refusal.code, base::Code::kPermissionDenied);
  EXPECT_THAT(refusal.message, HasSubstr("submitters"));
}

TEST(Policy, VetoesAnUnknownModel) {
  const auto refusal =
      RefusalOf([](site::Options& options) { options.policy.models = {std::string(64, 'b')}; });
  EXPECT_EQ(refusal.code, base::Code::kPermissionDenied);
  EXPECT_THAT(refusal.message, HasSubstr("models"));
}

TEST(Policy, VetoesAnUnknownPeer) {
  const auto refusal = RefusalOf(
      [](site::Options& options) { options.policy.peers.erase(options.policy.peers.begin()); });
  EXPECT_EQ(refusal.code, base::Code::kPermissionDenied);
  EXPECT_THAT(refusal.message, HasSubstr("peers"));
}

TEST(Policy, VetoesTooMuchEpsilon) {
  const auto refusal =
      RefusalOf([](site::Options& options) { options.policy.epsilon_per_job = 0.01; });
  EXPECT_EQ(refusal.code, base::Code::kPermissionDenied);
  EXPECT_THAT(refusal.message, HasSubstr("epsilon_per_job"));
}

TEST(Policy, VetoesTooMuchEpsilonAlone) {
  const auto refusal =
      RefusalOf([](site::Options& options) { options.policy.epsilon_alone_per_job = 0.01; });
  EXPECT_EQ(refusal.code, base::Code::kPermissionDenied);
  EXPECT_THAT(refusal.message, HasSubstr("epsilon_alone_per_job"));
}

TEST(Policy, VetoesASmallCohort) {
  const auto refusal = RefusalOf([](site::Options& options) { options.policy.minimum_cohort = 4; });
  EXPECT_EQ(refusal.code, base::Code::kPermissionDenied);
  EXPECT_THAT(refusal.message, HasSubstr("minimum_cohort"));
}

TEST(Policy, VetoesTooFewColluders) {
  const auto refusal = RefusalOf([](site::Options& options) { options.policy.colluders = 2; });
  EXPECT_EQ(refusal.code, base::Code::kPermissionDenied);
  EXPECT_THAT(refusal.message, HasSubstr("colluders"));
}

TEST(Policy, VetoesATooLargeDelta) {
  const auto refusal =
      RefusalOf([](site::Options& options) { options.policy.budget_delta = 1e-7; });
  EXPECT_EQ(refusal.code, base::Code::kPermissionDenied);
  EXPECT_THAT(refusal.message, HasSubstr("budget.delta"));
}

TEST(Refusal, ASiteThatTheJobDoesNotName) {
  Federation federation(4, 1);
  federation.StartCoordinator();
  federation.StartSites(0, 4);
  const rpc::TlsFiles files = federation.authority.Site("stranger");
  auto stream = rpc::SiteStream::Dial(federation.address(), files, std::chrono::seconds(5), {});
  ASSERT_TRUE(stream);
  ASSERT_TRUE(federation.Submit());
  const auto message = (*stream)->Receive();
  ASSERT_TRUE(message);
  const auto* end = std::get_if<rpc::End>(&*message);
  ASSERT_NE(end, nullptr);
  EXPECT_EQ(end->code, base::Code::kPermissionDenied);
  EXPECT_THAT(end->message, HasSubstr("stranger"));
  ASSERT_TRUE(federation.CoordinatorResult());
}

TEST(Refusal, ASiteWithAnotherIdentityKeyThanTheJobNames) {
  const auto refusal = RefusalOf([](site::Options& options) {
    options.identity =
        std::make_shared<const security::Ed25519KeyPair>(security::GenerateEd25519());
  });
  EXPECT_EQ(refusal.code, base::Code::kPermissionDenied);
  EXPECT_THAT(refusal.message, HasSubstr("identity key"));
}

TEST(Refusal, AForgedJobIsRefusedAtSubmission) {
  Federation federation(4, 1);
  federation.StartCoordinator();
  job::SignedJob forged = job::Sign(federation.parties.job, federation.parties.submitter);
  forged.signature[0] ^= 1;
  const auto signature = federation.Submit(forged);
  ASSERT_FALSE(signature);
  EXPECT_EQ(signature.error().code, base::Code::kUnauthenticated);

  job::SignedJob altered = job::Sign(federation.parties.job, federation.parties.submitter);
  job::Job other = federation.parties.job;
  other.privacy.noise_multiplier = 0.9;
  altered.job = job::CanonicalBytes(other);
  const auto terms = federation.Submit(altered);
  ASSERT_FALSE(terms);
  EXPECT_EQ(terms.error().code, base::Code::kUnauthenticated);
}

TEST(Refusal, AJobOfAnUnknownSubmitterIsRefusedAtSubmission) {
  Federation federation(4, 1);
  federation.StartCoordinator();
  const security::Ed25519KeyPair other = security::GenerateEd25519();
  const auto refused = federation.Submit(job::Sign(federation.parties.job, other));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kPermissionDenied);
  EXPECT_THAT(refused.error().message, HasSubstr("--submitters"));
  EXPECT_THAT(refused.error().message, HasSubstr(security::Hex(other.public_key)));
}

TEST(Refusal, AnAdapterAboveTheCoordinatorsCap) {
  Federation federation(4, 1);  // 80 values
  federation.change_coordinator = [](coordinator::Options& options) {
    options.max_parameters = 79;
  };
  federation.StartCoordinator();
  const auto refused = federation.Submit();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kInvalidArgument);
  EXPECT_THAT(refused.error().message, HasSubstr("80 values"));
}

TEST(Refusal, AJobWhoseFolderIsThereAlready) {
  Federation federation(4, 1);
  federation.change_coordinator = [](coordinator::Options& options) {
    options.folder_per_job = true;
  };
  std::filesystem::create_directories(federation.output() / federation.parties.job.name);
  federation.StartCoordinator();
  const auto refused = federation.Submit();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kAlreadyExists);
}

TEST(Refusal, AJobWhileAnotherRuns) {
  Federation federation(4, 1);
  federation.StartCoordinator();
  ASSERT_TRUE(federation.Submit());
  federation.parties.job.name = "second";
  const auto refused = federation.Submit();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kFailedPrecondition);
  EXPECT_THAT(refused.error().message, HasSubstr("another job is running"));
}

// The coordinator is not trusted: what one that follows a script of its own gets from a site.
class HostileCoordinator : public ::testing::Test {
 protected:
  void Start() {
    options_.coordinator = server_->address();
    options_.files = authority_.Site("site-0");
    options_.identity = parties_.identities[0];
    options_.state = folder_.path();
    options_.patience = std::chrono::seconds(0);
    options_.start_worker = [this]() -> base::Result<std::unique_ptr<site::WorkerChannel>> {
      worker_started_ = true;
      return std::make_unique<FakeWorker>("site-0", 80, updates_, FakeWorker::Hook{});
    };
    result_ = std::async(std::launch::async, [this] { return site::TakePart(options_, {}); });
    connection_ = std::get<rpc::Attended>(Next()).connection;
  }

  rpc::Event Next() {
    const auto soon = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    return server_->Next(soon, {}).value();
  }

  // Until the site has accepted.
  void Offer() {
    server_->Send(connection_, job::Sign(parties_.job, parties_.submitter));
    const rpc::Event event = Next();
    ASSERT_TRUE(std::holds_alternative<rpc::Accepted>(std::get<rpc::Received>(event).message));
  }

  const Authority authority_;
  Parties parties_{4, 2};
  TemporaryFolder folder_;
  std::unique_ptr<rpc::Server> server_ =
      rpc::Server::Start("127.0.0.1:0", authority_.Coordinator()).value();
  PlainUpdates updates_;
  site::Options options_{.policy = parties_.PolicyAllowing()};
  bool worker_started_ = false;
  rpc::ConnectionId connection_ = 0;
  std::future<Federation::Report> result_;
};

TEST_F(HostileCoordinator, AForgedJobIsRefusedByASite) {
  Start();
  job::SignedJob forged = job::Sign(parties_.job, security::GenerateEd25519());
  forged.submitter = parties_.submitter.public_key;
  server_->Send(connection_, forged);
  const auto report = result_.get();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, base::Code::kUnauthenticated);
  EXPECT_FALSE(worker_started_);
}

TEST_F(HostileCoordinator, AnEndBeforeTheLastRoundIsNoResult) {
  Start();
  Offer();
  server_->Send(connection_, rpc::Round{1, 1, 320, {}, true});
  const auto report = result_.get();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, base::Code::kDataLoss);
  EXPECT_THAT(report.error().message, HasSubstr("after round 1 of 2"));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "report.json"));
}

TEST_F(HostileCoordinator, SilenceEndsTheJob) {
  parties_.job.timeouts = {1, 1, 1, 1, 1, 1};
  Start();
  Offer();
  server_->Send(connection_, rpc::Round{1, 1, 320, {}, false});
  const auto report = result_.get();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, base::Code::kDeadlineExceeded);
  EXPECT_THAT(report.error().message, HasSubstr("for 1 s, awaited: the round's parameters"));
}

TEST_F(HostileCoordinator, ARefusalAfterTheOfferIsNoVeto) {
  Start();
  Offer();
  server_->Close(connection_, {base::Code::kPermissionDenied, "go away"});
  const auto report = result_.get();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, base::Code::kUnavailable);
}

TEST_F(HostileCoordinator, AVetoTellsNoPath) {
  options_.policy.path = "/home/owner/policy.yaml";
  options_.policy.colluders = 2;
  Start();
  server_->Send(connection_, job::Sign(parties_.job, parties_.submitter));
  const rpc::Event event = Next();
  const auto* end = std::get_if<rpc::End>(&std::get<rpc::Received>(event).message);
  ASSERT_NE(end, nullptr);
  EXPECT_EQ(end->code, base::Code::kPermissionDenied);
  EXPECT_THAT(end->message, HasSubstr("colluders"));
  EXPECT_EQ(end->message.find("owner"), std::string::npos) << end->message;
  server_->Close(connection_, {});
  const auto report = result_.get();
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().message, HasSubstr(options_.policy.path));
}

// A process that starts late says the ε of those before it.
TEST_F(HostileCoordinator, EpsilonIsTheLedgersNotThisProcesses) {
  Start();
  Offer();
  const std::vector<std::uint8_t> zeros(320);
  server_->Send(connection_, rpc::Round{2, 1, 320, security::HashBytes(zeros), true});
  server_->Send(connection_, rpc::ParameterChunk{0, zeros});
  server_->Close(connection_, {});
  const auto report = result_.get();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->at("rounds"), 0);
  EXPECT_EQ(report->at("rounds_of_job"), 2);
  EXPECT_EQ(report->at("epsilon"), 0.25);
  EXPECT_EQ(report->at("epsilon_alone"), 0.75);
}

TEST(Refusal, TooFewSitesAreReadyInTime) {
  Federation federation(4, 1);
  federation.parties.job.timeouts.gather = 1;
  federation.StartCoordinator();
  federation.StartSites(0, 2);
  ASSERT_TRUE(federation.Submit());
  const auto report = federation.CoordinatorResult();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, base::Code::kUnavailable);
  EXPECT_THAT(report.error().message, HasSubstr("site-2 is not there"));
  for (std::size_t site = 0; site < 2; ++site) EXPECT_FALSE(federation.SiteResult(site));
}

TEST(Refusal, ASecondDaemonOfTheSameSiteIsRefused) {
  Federation federation(4, 1);
  federation.StartCoordinator();
  const rpc::TlsFiles files = federation.authority.Site("site-0");
  const auto first =
      rpc::SiteStream::Dial(federation.address(), files, std::chrono::seconds(5), {});
  ASSERT_TRUE(first);
  const auto second =
      rpc::SiteStream::Dial(federation.address(), files, std::chrono::seconds(5), {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, base::Code::kAlreadyExists);
}

}  // namespace
}  // namespace cloister::federation::test
