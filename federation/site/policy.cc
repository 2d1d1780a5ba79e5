#include "federation/site/policy.h"

#include <algorithm>
#include <filesystem>

#include "federation/job/job_rules.h"
#include "federation/job/job_yaml.h"
#include "federation/job/yaml_map.h"
#include "federation/protocol/parameters.h"

namespace cloister::federation::site {
namespace {

constexpr double kLargest = 1e12;
constexpr double kSmallest = 1e-300;

std::vector<security::Ed25519PublicKey> ReadKeys(const job::YamlMap& map, const std::string& key,
                                                 const std::string& folder) {
  std::vector<security::Ed25519PublicKey> keys;
  for (const std::string& text : map.Texts(key)) {
    const auto identity = job::ReadIdentity(text, folder);
    if (identity) {
      keys.push_back(*identity);
    } else {
      map.Wrong(key, identity.error().message);
    }
  }
  return keys;
}

// Told to the coordinator and, by it, to others: nothing of this host, such as a path, is in it.
tl::unexpected<base::Error> Veto(const std::string& reason) {
  return base::Fail(base::Code::kPermissionDenied, "refused by the site's policy: " + reason);
}

bool Holds(const std::vector<security::Ed25519PublicKey>& keys,
           const security::Ed25519PublicKey& key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

}  // namespace

base::Result<Policy> ReadPolicy(const std::string& path) {
  CLOISTER_ASSIGN_OR_RETURN(
      const job::YamlMap map,
      job::YamlMap::ReadFile(path, {"submitters", "peers", "models", "minimum_cohort", "colluders",
                                    "epsilon_per_job", "epsilon_alone_per_job", "budget"}));
  const std::string folder = std::filesystem::path(path).parent_path().string();
  Policy policy;
  policy.path = path;
  policy.submitters = ReadKeys(map, "submitters", folder);
  policy.peers = ReadKeys(map, "peers", folder);
  policy.models = map.Texts("models");
  for (const std::string& model : policy.models) {
    if (model.size() != 64 || model.find_first_not_of("0123456789abcdef") != std::string::npos) {
      map.Wrong("models", "has an entry that is no SHA-256 in 64 lower-case hex digits");
    }
  }
  policy.minimum_cohort =
      map.Integer("minimum_cohort", protocol::kMinimumCohort, protocol::kMaximumSites);
  policy.colluders = map.Integer("colluders", 0, protocol::kMaximumSites);
  policy.epsilon_per_job = map.Number("epsilon_per_job", kSmallest, kLargest);
  if (map.Has("epsilon_alone_per_job")) {
    policy.epsilon_alone_per_job = map.Number("epsilon_alone_per_job", kSmallest, kLargest);
  }
  const job::YamlMap budget = map.Map("budget", {"epsilon", "delta"});
  policy.budget_epsilon = budget.Number("epsilon", kSmallest, kLargest);
  policy.budget_delta = budget.Number("delta", kSmallest, 1);
  CLOISTER_RETURN_IF_ERROR(map.Finish());
  return policy;
}

base::Status CheckJob(const Policy& policy, const job::SignedJob& signed_job, const job::Job& job) {
  if (!Holds(policy.submitters, signed_job.submitter)) {
    return Veto("submitter " + security::Hex(signed_job.submitter) + " is not among submitters");
  }
  if (std::find(policy.models.begin(), policy.models.end(), job.model_sha256) ==
      policy.models.end()) {
    return Veto("model " + job.model_sha256 + " is not among models");
  }
  for (const job::JobSite& site : job.sites) {
    if (!Holds(policy.peers, site.identity)) {
      return Veto("site " + site.name + "'s identity key is not among peers");
    }
  }
  const std::int64_t smallest = protocol::SmallestCohort(job::ParametersOf(job));
  if (smallest < policy.minimum_cohort) {
    return Veto("the job sums as few as " + std::to_string(smallest) +
                " sites, below minimum_cohort");
  }
  if (job.colluders < policy.colluders) {
    return Veto("the job reckons with " + std::to_string(job.colluders) +
                " colluding sites, below colluders");
  }
  if (job.privacy.delta > policy.budget_delta) {
    return Veto("the job's delta is above budget.delta");
  }
  return {};
}

base::Status CheckEpsilon(const Policy& policy, const job::Job& job, std::int64_t parameters) {
  CLOISTER_ASSIGN_OR_RETURN(const job::JobPrivacy privacy, job::PrivacyOf(job, parameters));
  if (!(privacy.epsilon <= policy.epsilon_per_job)) {
    return Veto("the job's ε is " + std::to_string(privacy.epsilon) + ", above epsilon_per_job");
  }
  if (policy.epsilon_alone_per_job && !(privacy.epsilon_alone <= *policy.epsilon_alone_per_job)) {
    return Veto("the job's ε with this site's noise alone is " +
                std::to_string(privacy.epsilon_alone) + ", above epsilon_alone_per_job");
  }
  return {};
}

}  // namespace cloister::federation::site
