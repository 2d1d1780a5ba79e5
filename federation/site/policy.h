#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "federation/job/job.h"
#include "federation/job/signed_job.h"
#include "security/primitives.h"

namespace cloister::federation::site {

// What a site's owner lets jobs do, read from a YAML file that only the owner writes. Whatever it
// does not allow is refused.
struct Policy {
  std::string path;
  std::vector<security::Ed25519PublicKey> submitters;
  std::vector<security::Ed25519PublicKey> peers;  // sites to sum with
  std::vector<std::string> models;                // SHA-256, lower-case hex
  std::int64_t minimum_cohort = 0;                // fewest sites in any sum
  std::int64_t colluders = 0;                     // a job must reckon with at least so many
  double epsilon_per_job = 0;                     // at the job's own δ, at most c colluders
  std::optional<double> epsilon_alone_per_job;    // with this site's noise alone
  double budget_epsilon = 0;                      // for the data set, over every job there will be
  double budget_delta = 0;
};

// Keys: submitters, peers (64 hex digits or PEM paths relative to the file), models,
// minimum_cohort, colluders, epsilon_per_job, epsilon_alone_per_job (may be absent),
// budget{epsilon, delta}. kInvalidArgument with every wrong key and value.
base::Result<Policy> ReadPolicy(const std::string& path);

// kPermissionDenied with what the policy does not allow (no path is in it): submitter, model,
// peers, cohort, colluders, δ, and ε for an adapter of `parameters` values.
base::Status CheckJob(const Policy& policy, const job::SignedJob& signed_job, const job::Job& job);
base::Status CheckEpsilon(const Policy& policy, const job::Job& job, std::int64_t parameters);

}  // namespace cloister::federation::site
