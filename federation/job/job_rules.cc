#include "federation/job/job_rules.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "dp/accounting/accountant.h"
#include "dp/mechanism/gaussian_mechanism.h"
#include "federation/aggregation/word_bound.h"
#include "security/certificates.h"

namespace cloister::federation::job {
namespace {

constexpr double kFineness = 64;
// Of the 1 % that rounding and summation may add to the sensitivity, the lattice may take nearly
// all.
constexpr double kLatticeShare = 0.0099;

tl::unexpected<base::Error> Wrong(const std::string& message) {
  return base::Fail(base::Code::kInvalidArgument, "the job: " + message);
}

base::Status ValidateNames(const Job& job) {
  if (auto status = security::ValidatePartyName(job.name); !status) {
    return Wrong("name: " + status.error().message);
  }
  const bool hex = job.model_sha256.size() == 64 &&
                   job.model_sha256.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!hex) return Wrong("model_sha256 is no SHA-256 in 64 lower-case hex digits: see sha256sum");
  std::set<std::string> names;
  std::set<security::Ed25519PublicKey> keys;
  for (const JobSite& site : job.sites) {
    if (auto status = security::ValidatePartyName(site.name); !status) {
      return Wrong("site: " + status.error().message);
    }
    if (!names.insert(site.name).second) return Wrong("site '" + site.name + "' is there twice");
    if (!keys.insert(site.identity).second) {
      return Wrong("site '" + site.name + "' has another site's identity key: give it its own");
    }
    if (site.nominal_units > job.units_cap) {
      return Wrong("site '" + site.name +
                   "' has more nominal_units than units_cap allows: raise "
                   "units_cap");
    }
  }
  return {};
}

base::Status ValidateAdapter(const Job& job) {
  constexpr std::string_view kTargets[] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                           "gate_proj", "up_proj", "down_proj"};
  if (job.lora.targets.empty()) return Wrong("adapter.targets is empty");
  std::set<std::string> seen;
  for (const std::string& target : job.lora.targets) {
    if (std::find(std::begin(kTargets), std::end(kTargets), target) == std::end(kTargets)) {
      return Wrong(
          "adapter.targets: no target is called so: use q_proj k_proj v_proj o_proj "
          "gate_proj up_proj down_proj");
    }
    if (!seen.insert(target).second) return Wrong("adapter.targets has '" + target + "' twice");
  }
  if (!(job.lora.alpha > 0)) return Wrong("adapter.alpha is not positive");
  return {};
}

base::Status ValidateOptimizer(const OptimizerPlan& optimizer) {
  if (!(optimizer.lr > 0)) return Wrong("optimizer.lr is not positive");
  if (!(optimizer.beta1 < 1) || !(optimizer.beta2 < 1)) {
    return Wrong("optimizer.beta1 and beta2 must be below 1");
  }
  if (!(optimizer.eps > 0)) return Wrong("optimizer.eps is not positive");
  return {};
}

base::Status ValidatePrivacy(const Job& job) {
  const PrivacyPlan& privacy = job.privacy;
  if (privacy.mode != "distributed") {
    const bool planned = privacy.mode == "local" || privacy.mode == "none";
    return base::Fail(
        planned ? base::Code::kUnimplemented : base::Code::kInvalidArgument,
        "the job: privacy.mode '" + privacy.mode +
            (planned ? "' is not built yet: use distributed" : "' is no mode: use distributed"));
  }
  if (privacy.unit != dp::PrivacyUnit::kRecord) {
    return base::Fail(base::Code::kUnimplemented,
                      "the job: privacy.unit: only 'record' is built yet");
  }
  if (privacy.neighbours != dp::Neighbours::kAddOrRemoveOne) {
    return base::Fail(base::Code::kUnimplemented,
                      "the job: privacy.neighbours: only 'add-or-remove-one' is built yet");
  }
  if (!(privacy.clip_norm > 0)) return Wrong("privacy.clip_norm is not positive");
  if (!(privacy.noise_multiplier > 0)) return Wrong("privacy.noise_multiplier is not positive");
  if (!(privacy.sampling_rate > 0)) return Wrong("privacy.sampling_rate is not positive");
  if (!(privacy.delta > 0 && privacy.delta < 1)) return Wrong("privacy.delta is not in (0, 1)");
  const double share = privacy.noise_multiplier * privacy.clip_norm /
                       std::sqrt(static_cast<double>(NoiseShares(job)));
  if (privacy.spacing() > share / kFineness) {
    return Wrong(
        "privacy.spacing_bits is too small: one site's noise must be 64 lattice points "
        "wide or more");
  }
  return {};
}

base::Status ValidateWords(const Job& job, std::int64_t parameters) {
  const PrivacyPlan& privacy = job.privacy;
  aggregation::WordBoundInput input;
  input.sites = static_cast<std::int64_t>(job.sites.size());
  input.units_cap = job.units_cap;
  input.clip_norm = privacy.clip_norm;
  input.spacing = privacy.spacing();
  input.noise_sigma = privacy.noise_multiplier * privacy.clip_norm /
                      std::sqrt(static_cast<double>(NoiseShares(job))) / privacy.spacing();
  input.words = parameters;
  input.rounds = job.rounds;
  input.failure_probability = kWrapProbability;
  if (auto bound = aggregation::CheckWordBound(input); !bound) {
    return base::Fail(bound.error().code, "the job: " + bound.error().message);
  }
  return {};
}

base::Status ValidateEpsilon(const Job& job, std::int64_t parameters) {
  CLOISTER_ASSIGN_OR_RETURN(const JobPrivacy privacy, PrivacyOf(job, parameters));
  if (job.privacy.max_epsilon && !(privacy.epsilon <= *job.privacy.max_epsilon)) {
    return Wrong("its ε is " + std::to_string(privacy.epsilon) +
                 ", above privacy.max_epsilon: more noise, a lower sampling rate or fewer rounds");
  }
  return {};
}

}  // namespace

std::int64_t NoiseShares(const Job& job) {
  const protocol::Parameters parameters = ParametersOf(job);
  return static_cast<std::int64_t>(parameters.threshold) - parameters.colluders;
}

std::int64_t LargestAdapter(const PrivacyPlan& privacy) {
  const double side = kLatticeShare * std::ldexp(1.0, static_cast<int>(privacy.spacing_bits));
  const double most = static_cast<double>(protocol::kMaximumWords);
  return static_cast<std::int64_t>(std::min(std::floor(side * side), most));
}

base::Result<JobPrivacy> PrivacyOf(const Job& job, std::int64_t parameters) {
  dp::GaussianMechanism::Parameters settings;
  settings.noise_multiplier = job.privacy.noise_multiplier;
  settings.clip_norm = job.privacy.clip_norm;
  settings.sampling_rate = job.privacy.sampling_rate;
  settings.dimension = parameters;
  settings.spacing = job.privacy.spacing();
  settings.neighbours = job.privacy.neighbours;
  settings.noise_shares = NoiseShares(job);
  settings.summed_shares = static_cast<std::int64_t>(job.sites.size());
  CLOISTER_ASSIGN_OR_RETURN(
      const dp::GaussianMechanism mechanism,
      dp::GaussianMechanism::Create(settings, security::AesCtrStream::FromSystem()));
  const auto whole = [&](dp::Event event) {
    event.steps = job.rounds;
    event.delta_slack *= static_cast<double>(job.rounds);
    return event;
  };
  JobPrivacy privacy;
  privacy.event = whole(mechanism.event());
  const dp::Event alone = whole(mechanism.own_noise_event());
  // A job is fixed when it is signed: a plan.
  CLOISTER_ASSIGN_OR_RETURN(privacy.epsilon,
                            dp::PlanEpsilon({&privacy.event, 1}, job.privacy.delta));
  CLOISTER_ASSIGN_OR_RETURN(privacy.epsilon_alone, dp::PlanEpsilon({&alone, 1}, job.privacy.delta));
  return privacy;
}

base::Status ValidateFor(const Job& job, std::int64_t parameters) {
  if (parameters > LargestAdapter(job.privacy)) {
    return Wrong("an adapter of " + std::to_string(parameters) +
                 " values is too large for privacy.spacing_bits: raise it (g sqrt(d) must stay "
                 "within 1 % of the clip norm)");
  }
  CLOISTER_RETURN_IF_ERROR(ValidateWords(job, parameters));
  return ValidateEpsilon(job, parameters);
}

base::Status Validate(const Job& job) {
  CLOISTER_RETURN_IF_ERROR(ValidateNames(job));
  if (job.sites.size() > protocol::kMaximumSites) return Wrong("it names more than 200 sites");
  if (auto status = protocol::Validate(ParametersOf(job)); !status) {
    return Wrong(status.error().message);
  }
  CLOISTER_RETURN_IF_ERROR(ValidateAdapter(job));
  CLOISTER_RETURN_IF_ERROR(ValidateOptimizer(job.optimizer));
  CLOISTER_RETURN_IF_ERROR(ValidatePrivacy(job));
  const std::int64_t largest = LargestAdapter(job.privacy);
  if (largest < 1) return Wrong("privacy.spacing_bits is too small for any adapter: raise it");
  return ValidateFor(job, largest);
}

}  // namespace cloister::federation::job
