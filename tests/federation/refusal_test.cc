// Who is refused, with which error: policies, strangers, forged jobs.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

// The coordinator is not trusted: a site checks the signature for itself.
TEST(Refusal, AForgedJobIsRefusedByASite) {
  const Authority authority;
  Parties parties(4, 1);
  TemporaryFolder folder;
  const auto server = rpc::Server::Start("127.0.0.1:0", authority.Coordinator()).value();
  site::Options options;
  options.coordinator = server->address();
  options.files = authority.Site("site-0");
  options.identity = parties.identities[0];
  options.policy = parties.PolicyAllowing();
  options.state = folder.path();
  bool started = false;
  options.start_worker = [&]() -> base::Result<std::unique_ptr<site::WorkerChannel>> {
    started = true;
    return base::Fail(base::Code::kInternal, "must not start");
  };
  std::future<Federation::Report> result =
      std::async(std::launch::async, [&] { return site::TakePart(options, {}); });
  const auto soon = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  const auto event = server->Next(soon, {});
  ASSERT_TRUE(event);
  const auto attended = std::get<rpc::Attended>(*event);
  EXPECT_EQ(attended.site, "site-0");
  job::SignedJob forged = job::Sign(parties.job, security::GenerateEd25519());
  forged.submitter = parties.submitter.public_key;
  server->Send(attended.connection, forged);
  const auto report = result.get();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, base::Code::kUnauthenticated);
  EXPECT_FALSE(started);
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
