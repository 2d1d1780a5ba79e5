#include "federation/job/job_yaml.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <utility>

#include "federation/job/job_rules.h"
#include "federation/job/yaml_map.h"

namespace cloister::federation::job {
namespace {

constexpr std::int64_t kMostUnits = std::int64_t{1} << 40;
constexpr double kLargest = 1e12;
constexpr double kSmallest = 1e-300;

JobSite ReadSite(const YamlMap& map, const std::string& folder) {
  JobSite site;
  site.name = map.Text("name");
  site.nominal_units = map.Integer("nominal_units", 1, kMostUnits);
  auto identity = ReadIdentity(map.Text("identity"), folder);
  if (identity) {
    site.identity = *identity;
  } else if (map.Has("identity")) {
    map.Wrong("identity", identity.error().message);
  }
  return site;
}

PrivacyPlan ReadPrivacy(const YamlMap& map) {
  PrivacyPlan plan;
  plan.mode = map.Text("mode");
  plan.clip_norm = map.Number("clip_norm", kSmallest, kLargest);
  plan.noise_multiplier = map.Number("noise_multiplier", kSmallest, kLargest);
  plan.sampling_rate = map.Number("sampling_rate", kSmallest, 1);
  plan.delta = map.Number("delta", kSmallest, 1);
  plan.spacing_bits = map.Integer("spacing_bits", 1, 60);
  if (map.Has("max_epsilon")) plan.max_epsilon = map.Number("max_epsilon", kSmallest, kLargest);
  const auto unit = dp::ParseUnit(map.Text("unit"));
  if (unit) {
    plan.unit = *unit;
  } else if (map.Has("unit")) {
    map.Wrong("unit", unit.error().message);
  }
  const auto neighbours = dp::ParseNeighbours(map.Text("neighbours"));
  if (neighbours) {
    plan.neighbours = *neighbours;
  } else if (map.Has("neighbours")) {
    map.Wrong("neighbours", neighbours.error().message);
  }
  return plan;
}

struct AdapterPlan {
  model::LoraConfig lora;
  std::uint64_t seed = 0;
};

AdapterPlan ReadAdapter(const YamlMap& map) {
  AdapterPlan plan;
  plan.lora.rank = map.Integer("rank", 1, 1 << 16);
  plan.lora.alpha = map.Number("alpha", kSmallest, kLargest);
  plan.lora.targets = map.Texts("targets");
  plan.lora.first_layer = map.Integer("first_layer", 0, 1 << 16);
  plan.seed =
      static_cast<std::uint64_t>(map.Integer("seed", 0, std::numeric_limits<std::int64_t>::max()));
  return plan;
}

OptimizerPlan ReadOptimizer(const YamlMap& map) {
  OptimizerPlan plan;
  plan.lr = map.Number("lr", kSmallest, kLargest);
  plan.beta1 = map.Number("beta1", 0, 1);
  plan.beta2 = map.Number("beta2", 0, 1);
  plan.eps = map.Number("eps", kSmallest, kLargest);
  plan.weight_decay = map.Number("weight_decay", 0, kLargest);
  return plan;
}

Timeouts ReadTimeouts(const YamlMap& map) {
  constexpr std::int64_t kDay = 24 * 3600;  // one job alone is run at a time
  constexpr std::int64_t kWeek = 7 * 86'400;
  Timeouts timeouts;
  timeouts.gather = map.Integer("gather", 1, kDay);
  timeouts.advertise = map.Integer("advertise", 1, kWeek);
  timeouts.share = map.Integer("share", 1, kWeek);
  timeouts.upload = map.Integer("upload", 1, kWeek);
  timeouts.commit = map.Integer("commit", 1, kWeek);
  timeouts.reveal = map.Integer("reveal", 1, kWeek);
  return timeouts;
}

}  // namespace

base::Result<security::Ed25519PublicKey> ReadIdentity(const std::string& text,
                                                      const std::string& folder) {
  security::Ed25519PublicKey key{};
  const auto bytes = security::ParseHex(text);
  if (bytes && bytes->size() == key.size()) {
    std::copy(bytes->begin(), bytes->end(), key.begin());
    return key;
  }
  return security::ReadEd25519PublicPem((std::filesystem::path(folder) / text).string());
}

base::Result<Job> ReadJobFile(const std::string& path) {
  CLOISTER_ASSIGN_OR_RETURN(
      const YamlMap map,
      YamlMap::ReadFile(path, {"name", "model_sha256", "sites", "colluders", "minimum_cohort",
                               "rounds", "adapter", "privacy", "optimizer", "units_cap",
                               "max_tokens", "evaluation_rows", "timeouts"}));
  const std::string folder = std::filesystem::path(path).parent_path().string();
  Job job;
  job.name = map.Text("name");
  job.model_sha256 = map.Text("model_sha256");
  for (const YamlMap& site : map.Maps("sites", {"name", "identity", "nominal_units"})) {
    job.sites.push_back(ReadSite(site, folder));
  }
  job.colluders = map.Integer("colluders", 0, protocol::kMaximumSites);
  job.minimum_cohort =
      map.Integer("minimum_cohort", protocol::kMinimumCohort, protocol::kMaximumSites);
  job.rounds = map.Integer("rounds", 1, 1'000'000);
  AdapterPlan adapter =
      ReadAdapter(map.Map("adapter", {"rank", "alpha", "targets", "first_layer", "seed"}));
  job.lora = std::move(adapter.lora);
  job.adapter_seed = adapter.seed;
  job.privacy = ReadPrivacy(
      map.Map("privacy", {"mode", "clip_norm", "noise_multiplier", "sampling_rate", "unit",
                          "neighbours", "delta", "spacing_bits", "max_epsilon"}));
  job.optimizer =
      ReadOptimizer(map.Map("optimizer", {"lr", "beta1", "beta2", "eps", "weight_decay"}));
  job.units_cap = map.Integer("units_cap", 1, kMostUnits);
  job.max_tokens = map.Integer("max_tokens", 1, 1 << 24);
  job.evaluation_rows = map.Integer("evaluation_rows", 0, 1 << 24);
  job.timeouts = ReadTimeouts(
      map.Map("timeouts", {"gather", "advertise", "share", "upload", "commit", "reveal"}));
  CLOISTER_RETURN_IF_ERROR(map.Finish());
  if (auto status = Validate(job); !status) return base::Annotate(std::move(status), path);
  return job;
}

}  // namespace cloister::federation::job
