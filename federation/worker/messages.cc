#include "federation/worker/messages.h"

#include <cmath>
#include <limits>

#include "federation/worker/json_fields.h"

namespace cloister::federation::worker {
namespace {

constexpr std::size_t kLongestPath = 4096;
constexpr std::size_t kLongestName = 128;
constexpr std::int64_t kMostRounds = 1'000'000;
constexpr std::int64_t kMostSites = 10'000;
constexpr std::int64_t kMostUnits = std::int64_t{1} << 40;
constexpr std::int64_t kMostTokens = std::int64_t{1} << 30;
constexpr std::int64_t kMostParameters = std::int64_t{1} << 31;
constexpr std::int64_t kMostThreads = 4096;
constexpr double kLargest = 1e12;
constexpr double kSmallest = 1e-300;  // "positive" for a number that may be tiny

nlohmann::json NullForInfinity(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
}

}  // namespace

nlohmann::json ToJson(const Open& open) {
  return {{"type", "open"},
          {"job", open.job},
          {"model", open.model.string()},
          {"model_sha256", open.model_sha256},
          {"data", open.data.string()},
          {"ledger", open.ledger.string()},
          {"lora", open.lora},
          {"clip_norm", open.clip_norm},
          {"noise_multiplier", open.noise_multiplier},
          {"sampling_rate", open.sampling_rate},
          {"unit", open.unit},
          {"neighbours", open.neighbours},
          {"spacing", open.spacing},
          {"noise_shares", open.noise_shares},
          {"sites", open.sites},
          {"rounds", open.rounds},
          {"units_cap", open.units_cap},
          {"budget_epsilon", open.budget_epsilon},
          {"budget_delta", open.budget_delta},
          {"job_delta", open.job_delta},
          {"max_tokens", open.max_tokens},
          {"evaluation_rows", open.evaluation_rows},
          {"micro_batch_tokens", open.micro_batch_tokens},
          {"threads", open.threads}};
}

base::Result<Open> OpenFromJson(const nlohmann::json& json) {
  JsonFields fields(json, "the daemon's open message");
  fields.Type("open");
  Open open;
  open.job = fields.Text("job", kLongestName);
  open.model = fields.Text("model", kLongestPath);
  open.model_sha256 = fields.Text("model_sha256", kLongestName);
  open.data = fields.Text("data", kLongestPath);
  open.ledger = fields.Text("ledger", kLongestPath);
  open.lora = fields.Object("lora");
  open.clip_norm = fields.Number("clip_norm", kSmallest, kLargest);
  open.noise_multiplier = fields.Number("noise_multiplier", kSmallest, kLargest);
  open.sampling_rate = fields.Number("sampling_rate", kSmallest, 1.0);
  open.unit = fields.Text("unit", kLongestName);
  open.neighbours = fields.Text("neighbours", kLongestName);
  open.spacing = fields.Number("spacing", kSmallest, kLargest);
  open.noise_shares = fields.Integer("noise_shares", 1, kMostSites);
  open.sites = fields.Integer("sites", 1, kMostSites);
  open.rounds = fields.Integer("rounds", 1, kMostRounds);
  open.units_cap = fields.Integer("units_cap", 1, kMostUnits);
  open.budget_epsilon = fields.Number("budget_epsilon", kSmallest, kLargest);
  open.budget_delta = fields.Number("budget_delta", kSmallest, 1.0);
  open.job_delta = fields.Number("job_delta", kSmallest, 1.0);
  open.max_tokens = fields.Integer("max_tokens", 1, kMostTokens);
  open.evaluation_rows = fields.Integer("evaluation_rows", 0, kMostTokens);
  open.micro_batch_tokens = fields.Integer("micro_batch_tokens", 1, kMostTokens);
  open.threads = fields.Integer("threads", 1, kMostThreads);
  CLOISTER_RETURN_IF_ERROR(fields.Finish());
  return open;
}

nlohmann::json ToJson(const Opened& opened) {
  return {{"type", "opened"},
          {"parameters", opened.parameters},
          {"epsilon", NullForInfinity(opened.epsilon)},
          {"epsilon_own_noise", NullForInfinity(opened.epsilon_own_noise)}};
}

base::Result<Opened> OpenedFromJson(const nlohmann::json& json) {
  JsonFields fields(json, "the worker's opened message");
  fields.Type("opened");
  Opened opened;
  opened.parameters = fields.Integer("parameters", 1, kMostParameters);
  if (json.is_object() && json.contains("epsilon")) {
    opened.epsilon = fields.NumberOrInfinity("epsilon", 0);
  }
  if (json.is_object() && json.contains("epsilon_own_noise")) {
    opened.epsilon_own_noise = fields.NumberOrInfinity("epsilon_own_noise", 0);
  }
  CLOISTER_RETURN_IF_ERROR(fields.Finish());
  return opened;
}

nlohmann::json ToJson(const Train& train) {
  return {{"type", "train"}, {"round", train.round}, {"attempt", train.attempt}};
}

base::Result<Train> TrainFromJson(const nlohmann::json& json) {
  JsonFields fields(json, "the daemon's train message");
  fields.Type("train");
  Train train;
  train.round = fields.Integer("round", 0, kMostRounds);
  train.attempt = fields.Integer("attempt", 0, kMostRounds);
  CLOISTER_RETURN_IF_ERROR(fields.Finish());
  return train;
}

nlohmann::json ToJson(const Update& update) {
  return {{"type", "update"},
          {"epsilon", NullForInfinity(update.epsilon)},
          {"epsilon_own_noise", NullForInfinity(update.epsilon_own_noise)}};
}

base::Result<Update> UpdateFromJson(const nlohmann::json& json) {
  JsonFields fields(json, "the worker's update message");
  fields.Type("update");
  Update update;
  update.epsilon = fields.NumberOrInfinity("epsilon", 0);
  update.epsilon_own_noise = fields.NumberOrInfinity("epsilon_own_noise", 0);
  CLOISTER_RETURN_IF_ERROR(fields.Finish());
  return update;
}

nlohmann::json ToJson(const Evaluated& evaluated) {
  return {{"type", "evaluated"}, {"loss", evaluated.loss}, {"rows", evaluated.rows}};
}

base::Result<Evaluated> EvaluatedFromJson(const nlohmann::json& json) {
  JsonFields fields(json, "the worker's evaluated message");
  fields.Type("evaluated");
  Evaluated evaluated;
  evaluated.loss = fields.Number("loss", 0, kLargest);
  evaluated.rows = fields.Integer("rows", 0, kMostTokens);
  CLOISTER_RETURN_IF_ERROR(fields.Finish());
  return evaluated;
}

nlohmann::json EvaluateRequest() { return {{"type", "evaluate"}}; }

std::string MessageType(const nlohmann::json& header) {
  if (!header.is_object()) return {};
  const auto found = header.find("type");
  return found != header.end() && found->is_string() ? found->get<std::string>() : std::string();
}

nlohmann::json ErrorToJson(const base::Error& error) {
  return {{"type", "error"}, {"code", static_cast<int>(error.code)}, {"message", error.message}};
}

base::Error ErrorFromJson(const nlohmann::json& json) {
  JsonFields fields(json, "the worker's error message");
  fields.Type("error");
  base::Error error;
  error.code = static_cast<base::Code>(fields.Integer("code", 1, 16));
  error.message = fields.Text("message", 1u << 16);
  if (const base::Status status = fields.Finish(); !status) return status.error();
  return error;
}

}  // namespace cloister::federation::worker
