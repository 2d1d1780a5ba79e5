// Job and policy files, the signed job, the rules that a job must keep to.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "base/file.h"
#include "federation/job/job_rules.h"
#include "federation/job/job_yaml.h"
#include "federation/job/round_context.h"
#include "federation/job/signed_job.h"
#include "tests/federation/support/parties.h"

namespace cloister::federation::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kTerms[] = R"(
colluders: 1
minimum_cohort: 3
rounds: 10
adapter: {rank: 1, alpha: 2, targets: [v_proj], first_layer: 0, seed: 7}
privacy: {mode: distributed, clip_norm: 0.1, noise_multiplier: 0.8, sampling_rate: 0.04,
          unit: record, neighbours: add-or-remove-one, delta: 1.0e-5, spacing_bits: 18}
optimizer: {lr: 0.004, beta1: 0.9, beta2: 0.999, eps: 1.0e-8, weight_decay: 0}
units_cap: 700
max_tokens: 256
evaluation_rows: 16
timeouts: {gather: 60, advertise: 60, share: 60, upload: 600, commit: 60, reveal: 60}
)";

std::string JobText() {
  std::string text = "name: demo\nmodel_sha256: " + std::string(64, 'b') + "\nsites:\n";
  for (int i = 0; i < 4; ++i) {
    text += "  - {name: site-" + std::to_string(i) + ", nominal_units: 600, identity: " +
            security::Hex(security::GenerateEd25519().public_key) + "}\n";
  }
  return text + kTerms;
}

base::Result<job::Job> Read(const std::string& text) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "job.yaml";
  EXPECT_TRUE(base::WriteFile(path, text));
  return job::ReadJobFile(path.string());
}

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(JobFile, ReadsWhole) {
  const auto job = Read(JobText());
  ASSERT_TRUE(job) << job.error().message;
  EXPECT_EQ(job->sites.size(), 4U);
  EXPECT_EQ(job->privacy.delta, 1e-5);
  EXPECT_EQ(job->privacy.spacing(), 0.1 / (1 << 18));
  EXPECT_FALSE(job->privacy.max_epsilon);
}

TEST(JobFile, NamesEveryWrongKeyAndTheNearestRightOne) {
  std::string text = Replaced(JobText(), "colluders", "coluders");
  text = Replaced(text, "clip_norm", "clipnorm");
  text = Replaced(text, "rounds: 10", "rounds: ten");
  const auto job = Read(text);
  ASSERT_FALSE(job);
  EXPECT_EQ(job.error().code, base::Code::kInvalidArgument);
  EXPECT_THAT(job.error().message,
              AllOf(HasSubstr("'coluders' is no known key (did you mean 'colluders'?)"),
                    HasSubstr("'privacy.clipnorm' is no known key (did you mean 'clip_norm'?)"),
                    HasSubstr("'privacy.clip_norm' is missing"), HasSubstr("'rounds'")));
}

TEST(JobFile, HasNoDefaultForAnyPrivacyField) {
  for (const std::string field : {"mode: distributed, ", "clip_norm: 0.1, ",
                                  "noise_multiplier: 0.8, ", "unit: record, ", "delta: 1.0e-5, "}) {
    const auto job = Read(Replaced(JobText(), field, ""));
    ASSERT_FALSE(job) << field;
    EXPECT_THAT(job.error().message, HasSubstr("privacy." + field.substr(0, field.find(':'))));
  }
}

TEST(JobFile, RefusesValuesThatAreNoFiniteNumbers) {
  for (const std::string value : {".nan", ".inf", "-0.1", "0.1x", "[1]"}) {
    EXPECT_FALSE(Read(Replaced(JobText(), "clip_norm: 0.1", "clip_norm: " + value))) << value;
  }
}

struct Rule {
  std::string name;
  std::function<void(job::Job&)> broken;
  std::string told;
};

class JobRules : public ::testing::TestWithParam<Rule> {};

TEST_P(JobRules, AreKept) {
  Parties parties(4);
  ASSERT_TRUE(job::Validate(parties.job)) << job::Validate(parties.job).error().message;
  GetParam().broken(parties.job);
  const auto status = job::Validate(parties.job);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr(GetParam().told));
}

INSTANTIATE_TEST_SUITE_P(
    Each, JobRules,
    ::testing::Values(
        Rule{"Colluders", [](job::Job& job) { job.colluders = 2; }, "collu"},
        Rule{"FewSites", [](job::Job& job) { job.sites.resize(2); }, ""},
        Rule{"MinimumCohort", [](job::Job& job) { job.minimum_cohort = 2; }, ""},
        Rule{"SameName", [](job::Job& job) { job.sites[1].name = "site-0"; }, "twice"},
        Rule{"SameKey", [](job::Job& job) { job.sites[1].identity = job.sites[0].identity; },
             "identity key"},
        Rule{"UnitsCap", [](job::Job& job) { job.units_cap = 10; }, "units_cap"},
        Rule{"WrapAround", [](job::Job& job) { job.units_cap = 1 << 20; }, "2^31"},
        Rule{"CoarseLattice", [](job::Job& job) { job.privacy.spacing_bits = 5; }, "spacing_bits"},
        Rule{"Epsilon", [](job::Job& job) { job.privacy.max_epsilon = 0.01; }, "max_epsilon"},
        Rule{"Mode", [](job::Job& job) { job.privacy.mode = "none"; }, "not built"},
        Rule{"Target", [](job::Job& job) { job.lora.targets = {"w_proj"}; }, "targets"}),
    [](const auto& info) { return info.param.name; });

TEST(JobRules, ALargeAdapterNeedsAFineLattice) {
  Parties parties(4);
  parties.job.privacy.spacing_bits = 10;
  EXPECT_TRUE(job::ValidateFor(parties.job, 100));
  EXPECT_FALSE(job::ValidateFor(parties.job, 110));
}

TEST(SignedJob, SurvivesEncodingAndRefusesEveryChangedByte) {
  Parties parties(4);
  const job::SignedJob signed_job = job::Sign(parties.job, parties.submitter);
  const auto verified = job::Verify(signed_job);
  ASSERT_TRUE(verified);
  EXPECT_EQ(*verified, parties.job);
  for (std::size_t i = 0; i < signed_job.job.size(); i += 7) {
    job::SignedJob changed = signed_job;
    changed.job[i] = static_cast<char>(changed.job[i] ^ 1);
    EXPECT_FALSE(job::Verify(changed)) << i;
  }
  job::SignedJob other_key = signed_job;
  other_key.submitter = security::GenerateEd25519().public_key;
  EXPECT_FALSE(job::Verify(other_key));
}

TEST(SignedJob, RefusesWhatIsNotCanonical) {
  Parties parties(4);
  const std::string bytes = job::CanonicalBytes(parties.job);
  EXPECT_TRUE(job::ParseCanonical(bytes));
  EXPECT_FALSE(job::ParseCanonical(bytes + " "));
  EXPECT_FALSE(job::ParseCanonical(Replaced(bytes, "\"rounds\":2", "\"rounds\":2.0")));
  EXPECT_FALSE(job::ParseCanonical(Replaced(bytes, "{", "{\"extra\":1,")));
  EXPECT_FALSE(job::ParseCanonical(std::string(100'000, '[')));
  for (std::size_t size = 0; size < bytes.size(); size += 11) {
    EXPECT_FALSE(job::ParseCanonical(bytes.substr(0, size)));
  }
}

TEST(RoundContext, ChangesWithEverythingThatItBinds) {
  Parties parties(4);
  const std::vector<float> values = {1.0F, 2.0F};
  const auto bytes = job::EncodeParameters(values);
  const auto context = job::ContextOf(parties.job, 1, bytes);
  EXPECT_EQ(job::ContextOf(parties.job, 1, bytes), context);
  EXPECT_NE(job::ContextOf(parties.job, 2, bytes), context);
  auto other = bytes;
  other[0] ^= 1;
  EXPECT_NE(job::ContextOf(parties.job, 1, other), context);
  job::Job changed = parties.job;
  changed.privacy.spacing_bits = 17;
  EXPECT_NE(job::ContextOf(changed, 1, bytes), context);
}

TEST(PolicyFile, NamesEveryWrongKey) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "policy.yaml";
  const std::string key = security::Hex(security::GenerateEd25519().public_key);
  const std::string good = "submitters: [" + key + "]\npeers: [" + key + "]\nmodels: [" +
                           std::string(64, 'a') +
                           "]\nminimum_cohort: 3\ncolluders: 1\nepsilon_per_job: 8\n"
                           "budget: {epsilon: 10, delta: 1.0e-5}\n";
  ASSERT_TRUE(base::WriteFile(path, good));
  ASSERT_TRUE(site::ReadPolicy(path.string())) << site::ReadPolicy(path.string()).error().message;
  ASSERT_TRUE(base::WriteFile(
      path, Replaced(Replaced(good, "submitters", "submiters"), "epsilon: 10", "epsilom: 10")));
  const auto policy = site::ReadPolicy(path.string());
  ASSERT_FALSE(policy);
  EXPECT_EQ(policy.error().code, base::Code::kInvalidArgument);
  EXPECT_THAT(policy.error().message,
              AllOf(HasSubstr("'submiters'"), HasSubstr("'submitters'"),
                    HasSubstr("'budget.epsilom' is no known key (did you mean 'epsilon'?)")));
}

}  // namespace
}  // namespace cloister::federation::test
