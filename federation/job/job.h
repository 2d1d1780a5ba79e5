#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "dp/mechanism/privacy_types.h"
#include "federation/protocol/parameters.h"
#include "model/adapter.h"
#include "security/primitives.h"

namespace cloister::federation::job {

// A federated fine-tuning job: everything that every party must agree on before the first round. A
// submitter writes it as YAML (job_yaml.h), signs it once (signed_job.h), and nothing in it changes
// afterwards.

struct JobSite {
  std::string name;
  security::Ed25519PublicKey identity{};  // signs this site's messages of the secure sum
  std::int64_t nominal_units = 0;         // public size; divisors come from it, never from counts

  friend bool operator==(const JobSite&, const JobSite&) = default;
};

struct PrivacyPlan {
  std::string mode;  // "distributed"
  double clip_norm = 0;
  double noise_multiplier = 0;  // of the sum over any t − c honest survivors, over clip_norm
  double sampling_rate = 0;
  dp::PrivacyUnit unit{};
  dp::Neighbours neighbours{};
  double delta = 0;
  std::int64_t spacing_bits = 0;      // lattice spacing g = clip_norm * 2^-spacing_bits
  std::optional<double> max_epsilon;  // the whole job, at `delta`

  double spacing() const;
  friend bool operator==(const PrivacyPlan&, const PrivacyPlan&) = default;
};

struct OptimizerPlan {  // AdamW on the noised mean gradient
  double lr = 0;
  double beta1 = 0;
  double beta2 = 0;
  double eps = 0;
  double weight_decay = 0;

  friend bool operator==(const OptimizerPlan&, const OptimizerPlan&) = default;
};

// How long the coordinator waits for the slowest site, in seconds.
struct Timeouts {
  std::int64_t gather = 0;     // until every site attends and has accepted the job
  std::int64_t advertise = 0;  // phase 0
  std::int64_t share = 0;      // phase 1
  std::int64_t upload = 0;     // phase 2, the site's training included
  std::int64_t commit = 0;     // phase 3
  std::int64_t reveal = 0;     // phase 4

  friend bool operator==(const Timeouts&, const Timeouts&) = default;
};

struct Job {
  std::string name;
  std::string model_sha256;  // of the base model's file, lower-case hex
  std::vector<JobSite> sites;
  std::int64_t colluders = 0;       // c
  std::int64_t minimum_cohort = 0;  // the job's own floor; max(t, this) sites are needed
  std::int64_t rounds = 0;
  model::LoraConfig lora;
  std::uint64_t adapter_seed = 0;  // public: model::InitialAdapter
  PrivacyPlan privacy;
  OptimizerPlan optimizer;
  std::int64_t units_cap = 0;   // units of a site; what more come to is cut before noise
  std::int64_t max_tokens = 0;  // per example
  std::int64_t evaluation_rows = 0;
  Timeouts timeouts;

  friend bool operator==(const Job&, const Job&) = default;
};

// The one encoding of a job: JSON with sorted keys, no spaces, numbers in shortest form. What is
// signed and hashed.
std::string CanonicalBytes(const Job& job);
// kDataLoss, naming the field, unless `bytes` are the canonical encoding of a well-formed job
// (at most kLongestJob bytes). Checks form; Validate (job_rules.h) checks meaning.
inline constexpr std::size_t kLongestJob = std::size_t{1} << 20;
base::Result<Job> ParseCanonical(std::string_view bytes);

// SHA-256 of the canonical bytes: the job's identity everywhere.
security::Sha256Digest Hash(const Job& job);

// n, t, c and the minimum, as the secure sum knows them.
protocol::Parameters ParametersOf(const Job& job);
// `words`: d, the adapter's size.
protocol::Terms TermsOf(const Job& job, std::int64_t words);

}  // namespace cloister::federation::job
