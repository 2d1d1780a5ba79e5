#include "federation/job/job.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/json.h"
#include "federation/worker/json_fields.h"

namespace cloister::federation::job {
namespace {

using nlohmann::json;
using worker::JsonFields;

constexpr std::size_t kLongestName = 64;
constexpr std::int64_t kMost = std::int64_t{1} << 40;
constexpr double kLargest = 1e12;

json SitesJson(const std::vector<JobSite>& sites) {
  json list = json::array();
  for (const JobSite& site : sites) {
    list.push_back({{"name", site.name},
                    {"identity", security::Hex(site.identity)},
                    {"nominal_units", site.nominal_units}});
  }
  return list;
}

json PrivacyJson(const PrivacyPlan& privacy) {
  return {{"mode", privacy.mode},
          {"clip_norm", privacy.clip_norm},
          {"noise_multiplier", privacy.noise_multiplier},
          {"sampling_rate", privacy.sampling_rate},
          {"unit", dp::UnitName(privacy.unit)},
          {"neighbours", dp::NeighboursName(privacy.neighbours)},
          {"delta", privacy.delta},
          {"spacing_bits", privacy.spacing_bits},
          {"max_epsilon", privacy.max_epsilon ? json(*privacy.max_epsilon) : json()}};
}

json ToJson(const Job& job) {
  const OptimizerPlan& optimizer = job.optimizer;
  const Timeouts& timeouts = job.timeouts;
  return {{"format", 1},
          {"name", job.name},
          {"model_sha256", job.model_sha256},
          {"sites", SitesJson(job.sites)},
          {"colluders", job.colluders},
          {"minimum_cohort", job.minimum_cohort},
          {"rounds", job.rounds},
          {"adapter",
           {{"rank", job.lora.rank},
            {"alpha", job.lora.alpha},
            {"targets", job.lora.targets},
            {"first_layer", job.lora.first_layer},
            {"seed", job.adapter_seed}}},
          {"privacy", PrivacyJson(job.privacy)},
          {"optimizer",
           {{"lr", optimizer.lr},
            {"beta1", optimizer.beta1},
            {"beta2", optimizer.beta2},
            {"eps", optimizer.eps},
            {"weight_decay", optimizer.weight_decay}}},
          {"units_cap", job.units_cap},
          {"max_tokens", job.max_tokens},
          {"evaluation_rows", job.evaluation_rows},
          {"timeouts",
           {{"gather", timeouts.gather},
            {"advertise", timeouts.advertise},
            {"share", timeouts.share},
            {"upload", timeouts.upload},
            {"commit", timeouts.commit},
            {"reveal", timeouts.reveal}}}};
}

base::Result<std::vector<JobSite>> ReadSites(const json& list) {
  std::vector<JobSite> sites;
  if (list.size() > protocol::kMaximumSites) {
    return base::Fail(base::Code::kDataLoss, "the job has " + std::to_string(list.size()) +
                                                 " sites, more than " +
                                                 std::to_string(protocol::kMaximumSites));
  }
  for (const json& entry : list) {
    JsonFields fields(entry, "the job's site " + std::to_string(sites.size()));
    JobSite site;
    site.name = fields.Text("name", kLongestName);
    const std::string key = fields.Text("identity", kLongestName);
    site.nominal_units = fields.Integer("nominal_units", 1, kMost);
    CLOISTER_RETURN_IF_ERROR(fields.Finish());
    const auto bytes = security::ParseHex(key);
    if (!bytes || bytes->size() != site.identity.size()) {
      return base::Fail(base::Code::kDataLoss,
                        "the job's site '" + site.name + "': identity is no hex of 32 bytes");
    }
    std::copy(bytes->begin(), bytes->end(), site.identity.begin());
    sites.push_back(std::move(site));
  }
  return sites;
}

base::Result<PrivacyPlan> ReadPrivacy(const json& object) {
  JsonFields fields(object, "the job's privacy plan");
  PrivacyPlan plan;
  plan.mode = fields.Text("mode", kLongestName);
  plan.clip_norm = fields.Number("clip_norm", 0, kLargest);
  plan.noise_multiplier = fields.Number("noise_multiplier", 0, kLargest);
  plan.sampling_rate = fields.Number("sampling_rate", 0, 1);
  const std::string unit = fields.Text("unit", kLongestName);
  const std::string neighbours = fields.Text("neighbours", kLongestName);
  plan.delta = fields.Number("delta", 0, 1);
  plan.spacing_bits = fields.Integer("spacing_bits", 1, 60);
  const double max_epsilon = fields.NumberOrInfinity("max_epsilon", 0);
  if (std::isfinite(max_epsilon)) plan.max_epsilon = max_epsilon;
  CLOISTER_RETURN_IF_ERROR(fields.Finish());
  CLOISTER_ASSIGN_OR_RETURN(plan.unit, dp::ParseUnit(unit));
  CLOISTER_ASSIGN_OR_RETURN(plan.neighbours, dp::ParseNeighbours(neighbours));
  return plan;
}

base::Result<OptimizerPlan> ReadOptimizer(const json& object) {
  JsonFields fields(object, "the job's optimizer");
  OptimizerPlan plan;
  plan.lr = fields.Number("lr", 0, kLargest);
  plan.beta1 = fields.Number("beta1", 0, 1);
  plan.beta2 = fields.Number("beta2", 0, 1);
  plan.eps = fields.Number("eps", 0, kLargest);
  plan.weight_decay = fields.Number("weight_decay", 0, kLargest);
  CLOISTER_RETURN_IF_ERROR(fields.Finish());
  return plan;
}

base::Result<Timeouts> ReadTimeouts(const json& object) {
  constexpr std::int64_t kDay = 24 * 3600;  // one job alone is run at a time
  constexpr std::int64_t kWeek = 7 * 86'400;
  JsonFields fields(object, "the job's timeouts");
  Timeouts timeouts;
  timeouts.gather = fields.Integer("gather", 1, kDay);
  timeouts.advertise = fields.Integer("advertise", 1, kWeek);
  timeouts.share = fields.Integer("share", 1, kWeek);
  timeouts.upload = fields.Integer("upload", 1, kWeek);
  timeouts.commit = fields.Integer("commit", 1, kWeek);
  timeouts.reveal = fields.Integer("reveal", 1, kWeek);
  CLOISTER_RETURN_IF_ERROR(fields.Finish());
  return timeouts;
}

struct AdapterPlan {
  model::LoraConfig lora;
  std::uint64_t seed = 0;
};

base::Result<AdapterPlan> ReadAdapter(const json& object) {
  JsonFields fields(object, "the job's adapter");
  AdapterPlan plan;
  model::LoraConfig& lora = plan.lora;
  lora.rank = fields.Integer("rank", 1, 1 << 16);
  lora.alpha = fields.Number("alpha", 0, kLargest);
  lora.first_layer = fields.Integer("first_layer", 0, 1 << 16);
  plan.seed = static_cast<std::uint64_t>(
      fields.Integer("seed", 0, std::numeric_limits<std::int64_t>::max()));
  const json targets = fields.Array("targets", 16);
  CLOISTER_RETURN_IF_ERROR(fields.Finish());
  for (const json& target : targets) {
    if (!target.is_string()) {
      return base::Fail(base::Code::kDataLoss, "the job's adapter: a target is no text");
    }
    lora.targets.push_back(target.get<std::string>());
  }
  return plan;
}

}  // namespace

double PrivacyPlan::spacing() const {
  return std::ldexp(clip_norm, -static_cast<int>(spacing_bits));
}

std::string CanonicalBytes(const Job& job) { return ToJson(job).dump(); }

base::Result<Job> ParseCanonical(std::string_view bytes) {
  if (bytes.size() > kLongestJob) {
    return base::Fail(base::Code::kDataLoss, "the job is longer than 1 MiB");
  }
  const json object = base::ParseJson(bytes, /*max_depth=*/8);  // a job has four levels
  if (object.is_discarded()) {
    return base::Fail(base::Code::kDataLoss, "the job is no JSON: submit it again");
  }
  JsonFields fields(object, "the job");
  fields.Integer("format", 1, 1);
  Job job;
  job.name = fields.Text("name", kLongestName);
  job.model_sha256 = fields.Text("model_sha256", 64);
  const json sites = fields.Array("sites", protocol::kMaximumSites);
  job.colluders = fields.Integer("colluders", 0, protocol::kMaximumSites);
  job.minimum_cohort = fields.Integer("minimum_cohort", 0, protocol::kMaximumSites);
  job.rounds = fields.Integer("rounds", 1, 1'000'000);
  const json adapter = fields.Object("adapter");
  const json privacy = fields.Object("privacy");
  const json optimizer = fields.Object("optimizer");
  job.units_cap = fields.Integer("units_cap", 1, kMost);
  job.max_tokens = fields.Integer("max_tokens", 1, 1 << 24);
  job.evaluation_rows = fields.Integer("evaluation_rows", 0, 1 << 24);
  const json timeouts = fields.Object("timeouts");
  CLOISTER_RETURN_IF_ERROR(fields.Finish());
  CLOISTER_ASSIGN_OR_RETURN(job.sites, ReadSites(sites));
  CLOISTER_ASSIGN_OR_RETURN(AdapterPlan adapter_plan, ReadAdapter(adapter));
  job.lora = std::move(adapter_plan.lora);
  job.adapter_seed = adapter_plan.seed;
  CLOISTER_ASSIGN_OR_RETURN(job.privacy, ReadPrivacy(privacy));
  CLOISTER_ASSIGN_OR_RETURN(job.optimizer, ReadOptimizer(optimizer));
  CLOISTER_ASSIGN_OR_RETURN(job.timeouts, ReadTimeouts(timeouts));
  if (CanonicalBytes(job) != bytes) {
    return base::Fail(base::Code::kDataLoss,
                      "the job is not in its canonical form: submit it again");
  }
  return job;
}

security::Sha256Digest Hash(const Job& job) {
  const std::string bytes = CanonicalBytes(job);
  return security::HashBytes({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

protocol::Parameters ParametersOf(const Job& job) {
  return protocol::ParametersFor(static_cast<std::uint32_t>(job.sites.size()),
                                 static_cast<std::uint32_t>(job.colluders),
                                 static_cast<std::uint32_t>(job.minimum_cohort));
}

protocol::Terms TermsOf(const Job& job, std::int64_t words) {
  protocol::Terms terms;
  terms.job = Hash(job);
  terms.parameters = ParametersOf(job);
  for (const JobSite& site : job.sites) terms.sites.push_back({site.name, site.identity});
  terms.words = static_cast<std::uint64_t>(words);
  return terms;
}

}  // namespace cloister::federation::job
