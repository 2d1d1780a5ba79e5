#include "cli/train/site_worker.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <exception>
#include <utility>

#include "federation/aggregation/word_bound.h"
#include "model/model_files.h"
#include "security/primitives.h"
#include "trainer/data/data_units.h"
#include "trainer/data/held_out.h"
#include "trainer/data/sampling.h"

namespace cloister::cli {
namespace {

namespace worker = federation::worker;
using base::Code;

// Conversations; a job knows no other records, nor units.
const trainer::RecordFile::Options kRecords{.timing = base::Timing::kHidden};

base::Status CheckModel(const worker::Open& job) {
  CLOISTER_ASSIGN_OR_RETURN(const security::Sha256Digest digest,
                            security::HashFile(job.model.string()));
  if (security::Hex(digest) != job.model_sha256) {
    return base::Fail(Code::kPermissionDenied, "model " + job.model.string() + " has SHA-256 " +
                                                   security::Hex(digest) + " and the job names " +
                                                   job.model_sha256 + ": fetch the job's model");
  }
  return {};
}

// Also a hostile daemon cannot ask for sizes that make no sense.
base::Status CheckNumbers(const worker::Open& job) {
  const auto require = [](bool holds, const char* what) -> base::Status {
    if (holds) return {};
    return base::Fail(Code::kInvalidArgument, std::string("open: ") + what);
  };
  CLOISTER_RETURN_IF_ERROR(require(job.max_tokens >= 2 && job.max_tokens <= (1 << 20),
                                   "max_tokens must be from 2 to 1048576"));
  CLOISTER_RETURN_IF_ERROR(
      require(job.micro_batch_tokens >= 1, "micro_batch_tokens must be positive"));
  CLOISTER_RETURN_IF_ERROR(
      require(job.evaluation_rows >= 0, "evaluation_rows must not be negative"));
  CLOISTER_RETURN_IF_ERROR(
      require(job.threads >= 1 && job.threads <= 1024, "threads must be from 1 to 1024"));
  CLOISTER_RETURN_IF_ERROR(
      require(job.rounds >= 1 && job.rounds <= 1'000'000, "rounds must be from 1 to 1000000"));
  return require(job.job_delta > 0 && job.job_delta < 1, "job_delta must be between 0 and 1");
}

base::Result<model::LoraConfig> LoraFromJson(const nlohmann::json& json) {
  try {
    model::LoraConfig config;
    config.rank = json.at("rank").get<std::int64_t>();
    config.alpha = json.at("alpha").get<double>();
    config.targets = json.at("targets").get<std::vector<std::string>>();
    config.first_layer = json.value("first_layer", std::int64_t{0});
    return config;
  } catch (const nlohmann::json::exception& error) {
    return base::Fail(Code::kInvalidArgument, std::string("open: lora: ") + error.what() +
                                                  ": give rank, alpha, targets and first_layer");
  }
}

base::Result<std::vector<float>> Floats(std::span<const std::byte> payload, std::int64_t count) {
  if (payload.size() != static_cast<std::size_t>(count) * sizeof(float)) {
    return base::Fail(Code::kInvalidArgument, "payload of " + std::to_string(payload.size()) +
                                                  " bytes: send " + std::to_string(count) +
                                                  " adapter parameters as f32");
  }
  std::vector<float> values(static_cast<std::size_t>(count));
  std::memcpy(values.data(), payload.data(), payload.size());
  return values;
}

// As i64, in pieces.
void CopyPoints(const dp::LatticeSum& points, std::span<std::byte> to) {
  std::array<std::int64_t, 4096> piece;  // NOLINT: filled before it is read
  for (std::int64_t begin = 0; begin < points.dimension(); begin += piece.size()) {
    const auto left = static_cast<std::size_t>(points.dimension() - begin);
    const std::span<std::int64_t> part(piece.data(), std::min(piece.size(), left));
    points.Read(begin, part);
    std::memcpy(to.data() + static_cast<std::size_t>(begin) * sizeof(std::int64_t), part.data(),
                part.size_bytes());
  }
}

dp::Event Times(dp::Event event, std::int64_t steps) {
  event.steps = steps;
  event.delta_slack *= static_cast<double>(steps);
  return event;
}

// No more draws than Open asked the budget for: rounds 1 to `rounds`, each once.
base::Status CheckTurn(const worker::Train& train, std::int64_t rounds) {
  if (train.round < 1 || train.round > rounds) {
    return base::Fail(Code::kInvalidArgument, "train: round " + std::to_string(train.round) +
                                                  " is not one of the job's: ask for 1 to " +
                                                  std::to_string(rounds));
  }
  if (train.attempt < 1) {
    return base::Fail(Code::kInvalidArgument, "train: attempt " + std::to_string(train.attempt) +
                                                  " is none: attempts are counted from 1");
  }
  if (train.attempt > 1) {
    return base::Fail(Code::kUnimplemented,
                      "train: attempt " + std::to_string(train.attempt) +
                          " of a round is not built yet, the budget was asked for one a round: "
                          "go on with the next round");
  }
  return {};
}

}  // namespace

SiteWorker::Answer SiteWorker::Handle(const base::Frame& request) {
  try {
    base::Result<Answer> answer = Dispatch(request);
    if (answer) return std::move(*answer);
    return {worker::ErrorToJson(answer.error()), {}};
  } catch (const std::exception& error) {
    return {worker::ErrorToJson({Code::kInternal, error.what()}), {}};
  }
}

base::Result<SiteWorker::Answer> SiteWorker::Dispatch(const base::Frame& request) {
  const auto type = request.header.find("type");
  if (type == request.header.end() || !type->is_string()) {
    return base::Fail(Code::kInvalidArgument,
                      "request without 'type': send open, train or evaluate");
  }
  if (*type == "open") return Open(request.header);
  if (*type != "train" && *type != "evaluate") {
    return base::Fail(
        Code::kInvalidArgument,
        "request of unknown type '" + type->get<std::string>() + "': send open, train or evaluate");
  }
  if (!site_) {
    return base::Fail(Code::kFailedPrecondition, "no job is open: send open first");
  }
  return *type == "train" ? Train(request) : Evaluate(request);
}

base::Result<SiteWorker::Answer> SiteWorker::Open(const nlohmann::json& header) {
  if (site_) return base::Fail(Code::kFailedPrecondition, "a job is open: start another worker");
  CLOISTER_ASSIGN_OR_RETURN(worker::Open job, worker::OpenFromJson(header));
  CLOISTER_RETURN_IF_ERROR(CheckNumbers(job));
  CLOISTER_ASSIGN_OR_RETURN(const model::LoraConfig lora, LoraFromJson(job.lora));
  CLOISTER_ASSIGN_OR_RETURN(const dp::PrivacyUnit unit, dp::ParseUnit(job.unit));
  CLOISTER_ASSIGN_OR_RETURN(const dp::Neighbours neighbours, dp::ParseNeighbours(job.neighbours));
  if (unit != dp::PrivacyUnit::kRecord || neighbours != dp::Neighbours::kAddOrRemoveOne) {
    return base::Fail(
        Code::kUnimplemented,
        "open: only unit record and neighbours add-or-remove-one are built: change the "
        "job");
  }
  if (!sandboxed_) CLOISTER_RETURN_IF_ERROR(sandbox_());
  sandboxed_ = true;

  CLOISTER_RETURN_IF_ERROR(CheckModel(job));
  CLOISTER_ASSIGN_OR_RETURN(const auto files, model::ModelFiles::Open(job.model));
  CLOISTER_ASSIGN_OR_RETURN(const model::Architecture architecture, files->architecture());
  CLOISTER_RETURN_IF_ERROR(model::Validate(lora, architecture));
  if (job.max_tokens > architecture.max_positions) {
    return base::Fail(Code::kInvalidArgument,
                      "open: max_tokens is more than the model's positions");
  }
  CLOISTER_ASSIGN_OR_RETURN(
      const trainer::RecordEncoder encoder,
      trainer::RecordEncoder::Load(*files, kRecords.layout,
                                   {job.max_tokens, trainer::Truncation::kRight}));
  const std::int64_t parameters = model::AdapterSize(model::AdapterLayout(lora, architecture));
  CLOISTER_ASSIGN_OR_RETURN(auto mechanism,
                            dp::GaussianMechanism::Create(
                                {.noise_multiplier = job.noise_multiplier,
                                 .clip_norm = job.clip_norm,
                                 .sampling_rate = job.sampling_rate,
                                 .dimension = parameters,
                                 .spacing = job.spacing,
                                 .neighbours = neighbours,
                                 .noise_shares = job.noise_shares,
                                 .summed_shares = job.sites,
                                 .largest_coordinate = federation::aggregation::LargestCoordinate(
                                     job.units_cap, job.clip_norm, job.spacing)},
                                security::AesCtrStream::FromSystem()));

  CLOISTER_ASSIGN_OR_RETURN(trainer::RecordFile train_file,
                            trainer::RecordFile::Open(job.data / "train.jsonl", kRecords));
  CLOISTER_ASSIGN_OR_RETURN(trainer::RecordFile eval_file,
                            trainer::RecordFile::Open(job.data / "eval.jsonl", kRecords));
  CLOISTER_RETURN_IF_ERROR(trainer::CheckDisjoint(train_file, eval_file, unit));
  trainer::RecordData train(std::move(train_file), encoder);
  CLOISTER_ASSIGN_OR_RETURN(
      auto rows, trainer::RecordData(std::move(eval_file), encoder).LoadFirst(job.evaluation_rows));
  CLOISTER_RETURN_IF_ERROR(
      trainer::CheckHasAnswer(rows, job.data / "eval.jsonl", "the job's max_tokens"));

  CLOISTER_ASSIGN_OR_RETURN(auto ledger, dp::Ledger::Open(job.ledger));
  CLOISTER_ASSIGN_OR_RETURN(
      const std::string data_set,
      ledger->RegisterDataSet((job.data / "train.jsonl").string(),
                              trainer::LedgerKeys(train.file(), unit), unit, neighbours,
                              {job.budget_epsilon, job.budget_delta}));
  CLOISTER_RETURN_IF_ERROR(ledger->CheckAffordable(data_set, Times(mechanism.event(), job.rounds)));

  CLOISTER_ASSIGN_OR_RETURN(const dp::Ledger::Total spent,
                            ledger->SpentByJob(data_set, job.job, job.job_delta));

  trainer::SetThreads(job.threads);
  CLOISTER_ASSIGN_OR_RETURN(auto model, trainer::TrainableModel::Load(*files, lora));
  site_.emplace(Site{std::move(job), std::move(train), std::move(rows), std::move(ledger), data_set,
                     std::move(mechanism), security::AesCtrStream::FromSystem(), std::move(model)});
  return Answer{worker::ToJson(worker::Opened{.parameters = parameters,
                                              .epsilon = spent.epsilon,
                                              .epsilon_own_noise = spent.epsilon_own_noise}),
                {}};
}

base::Result<SiteWorker::Answer> SiteWorker::Train(const base::Frame& request) {
  Site& site = *site_;
  CLOISTER_ASSIGN_OR_RETURN(const worker::Train train, worker::TrainFromJson(request.header));
  CLOISTER_RETURN_IF_ERROR(CheckTurn(train, site.job.rounds));
  const std::pair<std::int64_t, std::int64_t> key(train.round, train.attempt);
  if (answered_.contains(key)) {
    return base::Fail(Code::kAlreadyExists, "round " + std::to_string(train.round) + ", attempt " +
                                                std::to_string(train.attempt) +
                                                " has its answer: it is given once");
  }
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<float> parameters,
                            Floats(request.payload, site.model->parameters()));
  CLOISTER_RETURN_IF_ERROR(site.model->SetParameters(parameters));

  const std::vector<std::int64_t> drawn =
      trainer::PoissonDraw(site.train.size(), site.job.sampling_rate, site.sampling);
  CLOISTER_ASSIGN_OR_RETURN(std::vector<trainer::Example> examples, site.train.Load(drawn));
  std::vector<trainer::UnitExamples> units;
  for (trainer::Example& example : examples) units.push_back({std::move(example)});
  CLOISTER_ASSIGN_OR_RETURN(
      trainer::TrainableModel::Clipped clipped,
      site.model->ClippedGradient(units,
                                  {.rule = {.clip_norms = {site.job.clip_norm}},
                                   .unit = dp::PrivacyUnit::kRecord,
                                   .neighbours = dp::Neighbours::kAddOrRemoveOne,
                                   .spacing = site.job.spacing},
                                  {}));
  // Taken before the spend: want of memory costs nothing then.
  std::vector<std::byte> payload(static_cast<std::size_t>(site.model->parameters()) *
                                 sizeof(std::int64_t));
  answered_.insert(key);  // from here the spend may be durable: never again, whatever happens
  CLOISTER_ASSIGN_OR_RETURN(
      const dp::NoisedSum noised,
      site.mechanism.Release(
          std::move(clipped.sum), *site.ledger, site.data_set,
          {.job = site.job.job, .round = train.round, .attempt = train.attempt}));
  CLOISTER_ASSIGN_OR_RETURN(
      const dp::Ledger::Total spent,
      site.ledger->SpentByJob(site.data_set, site.job.job, site.job.job_delta));
  CopyPoints(noised.points(), payload);
  return Answer{worker::ToJson(worker::Update{.epsilon = spent.epsilon,
                                              .epsilon_own_noise = spent.epsilon_own_noise}),
                std::move(payload)};
}

base::Result<SiteWorker::Answer> SiteWorker::Evaluate(const base::Frame& request) {
  Site& site = *site_;
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<float> parameters,
                            Floats(request.payload, site.model->parameters()));
  CLOISTER_RETURN_IF_ERROR(site.model->SetParameters(parameters));
  CLOISTER_ASSIGN_OR_RETURN(const double loss,
                            site.model->Loss(site.held_out, site.job.micro_batch_tokens, {}));
  if (!std::isfinite(loss)) {
    return base::Fail(
        Code::kFailedPrecondition,
        (site.job.data / "eval.jsonl").string() +
            ": the held-out loss is not finite: give rows with an answer, or lower the "
            "job's learning rate");
  }
  return Answer{worker::ToJson(worker::Evaluated{
                    .loss = loss, .rows = static_cast<std::int64_t>(site.held_out.size())}),
                {}};
}

base::Status ServeWorker(base::FrameChannel& channel, SiteWorker& worker) {
  while (true) {
    base::Result<base::Frame> request = channel.Receive();
    if (!request && request.error().code == Code::kUnavailable) return {};
    if (!request) return base::Forward(std::move(request));
    const SiteWorker::Answer answer = worker.Handle(*request);
    base::Status sent = channel.Send(answer.header, answer.payload);
    // A daemon that left before its answer is an end like any other.
    if (!sent && sent.error().code == Code::kUnavailable) return {};
    CLOISTER_RETURN_IF_ERROR(std::move(sent));
  }
}

}  // namespace cloister::cli
