#include "federation/site/participation.h"

#include <cmath>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "federation/job/job_rules.h"
#include "federation/job/round_context.h"
#include "federation/site/round.h"

namespace cloister::federation::site {
namespace {

base::Result<protocol::SiteIndex> IndexOf(const job::Job& job, const Options& options) {
  for (std::size_t i = 0; i < job.sites.size(); ++i) {
    if (job.sites[i].name != options.files.name) continue;
    if (job.sites[i].identity != options.identity->public_key) {
      return base::Fail(base::Code::kPermissionDenied,
                        "the job names another identity key for site " + job.sites[i].name +
                            ": give the submitter this site's public key");
    }
    return static_cast<protocol::SiteIndex>(i);
  }
  return base::Fail(
      base::Code::kPermissionDenied,
      "the job does not name site " + options.files.name + ": ask its submitter to add it");
}

// From one round's announcement to the next, also for a site that missed the beginning of one.
std::int64_t WholeRound(const job::Job& job) {
  const job::Timeouts& timeouts = job.timeouts;
  return timeouts.gather + timeouts.advertise + timeouts.share + timeouts.upload + timeouts.commit +
         timeouts.reveal;
}

// What ledger and data refuse is the site's own affair: not told as a veto, which goes to others.
template <typename T>
base::Result<T> OwnAffair(base::Result<T> answer) {
  if (!answer && answer.error().code == base::Code::kPermissionDenied) {
    return base::Fail(base::Code::kResourceExhausted, answer.error().message);
  }
  return answer;
}

nlohmann::json NullForInfinity(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
}

base::Status RecordUpdate(const std::filesystem::path& folder, std::uint64_t round,
                          std::span<const std::int64_t> values) {
  std::error_code ignored;  // writing tells
  std::filesystem::create_directories(folder, ignored);
  protocol::Writer writer;
  for (const std::int64_t value : values) writer.U64(static_cast<std::uint64_t>(value));
  const protocol::Bytes& bytes = writer.bytes();
  return base::WriteFile(folder / ("round-" + std::to_string(round) + ".i64"),
                         {reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                         base::AtomicFile::kPrivateMode);
}

}  // namespace

base::Status Participation::Run(rpc::SiteStream& stream, Inbox& inbox) {
  CLOISTER_ASSIGN_OR_RETURN(const auto offer,
                            inbox.Expect<job::SignedJob>("a job", Inbox::kForever));
  CLOISTER_RETURN_IF_ERROR(Accept(offer, stream));
  for (;;) {
    CLOISTER_ASSIGN_OR_RETURN(const auto round,
                              inbox.Expect<rpc::Round>("a round", WholeRound(job_)));
    // The coordinator begins the next round, or ends, when the sum of the last one is settled.
    if (last_round_ > 0) base::LogInfo("round " + std::to_string(last_round_) + ": done");
    if (round.last) return TakeResult(round, inbox);
    CLOISTER_RETURN_IF_ERROR(RunRound(round, stream, inbox));
  }
}

base::Status Participation::TakeResult(const rpc::Round& last, Inbox& inbox) {
  if (last.round != static_cast<std::uint64_t>(job_.rounds)) {
    return base::Fail(base::Code::kDataLoss, "the coordinator ends job " + job_.name +
                                                 " after round " + std::to_string(last.round) +
                                                 " of " + std::to_string(job_.rounds) +
                                                 ": ask its operator");
  }
  CLOISTER_ASSIGN_OR_RETURN(
      const protocol::Bytes bytes,
      Round::ReceiveParameters(inbox, last, terms_->words, job_.timeouts.advertise));
  CLOISTER_ASSIGN_OR_RETURN(result_, job::DecodeParameters(bytes, terms_->words));
  return inbox.ExpectEnd(job_.timeouts.reveal);
}

base::Status Participation::Accept(const job::SignedJob& offer, rpc::SiteStream& stream) {
  CLOISTER_ASSIGN_OR_RETURN(job_, job::Verify(offer));
  base::LogInfo("job " + job_.name + " (" + security::Hex(job::Hash(job_)) + ") is offered");
  CLOISTER_ASSIGN_OR_RETURN(self_, IndexOf(job_, options_));
  CLOISTER_RETURN_IF_ERROR(Veto(CheckJob(options_.policy, offer, job_)));
  CLOISTER_RETURN_IF_ERROR(StartWorker());
  rpc::Accepted accepted;
  accepted.job = terms_->job;
  accepted.parameters = terms_->words;
  return stream.Send(accepted);
}

base::Status Participation::Veto(base::Status checked) {
  vetoed_ = !checked && checked.error().code == base::Code::kPermissionDenied;
  return checked;
}

base::Status Participation::StartWorker() {
  CLOISTER_ASSIGN_OR_RETURN(std::unique_ptr<WorkerChannel> worker, options_.start_worker());
  {
    const std::lock_guard lock(worker_mutex_);
    worker_ = std::move(worker);
    if (interrupted_) worker_->Interrupt();
  }
  auto answer = worker_->Open(OpenMessage());
  CLOISTER_ASSIGN_OR_RETURN(const worker::Opened opened, OwnAffair(std::move(answer)));
  CLOISTER_RETURN_IF_ERROR(job::ValidateFor(job_, opened.parameters));
  CLOISTER_RETURN_IF_ERROR(Veto(CheckEpsilon(options_.policy, job_, opened.parameters)));
  privacy_ = {opened.epsilon, opened.epsilon_own_noise};
  terms_ = std::make_shared<const protocol::Terms>(job::TermsOf(job_, opened.parameters));
  CLOISTER_RETURN_IF_ERROR(protocol::Validate(*terms_));
  // An adapter of zeros changes nothing: this is the base model's loss.
  base::LogInfo("evaluating the base model on held-out rows");
  const std::vector<float> zeros(static_cast<std::size_t>(opened.parameters));
  CLOISTER_ASSIGN_OR_RETURN(before_, worker_->Evaluate(zeros));
  return {};
}

worker::Open Participation::OpenMessage() const {
  const job::PrivacyPlan& privacy = job_.privacy;
  worker::Open open;
  open.job = security::Hex(job::Hash(job_));
  open.model = options_.model;
  open.model_sha256 = job_.model_sha256;
  open.data = options_.data;
  open.ledger = options_.state / "ledger.sqlite";
  open.lora = {{"rank", job_.lora.rank},
               {"alpha", job_.lora.alpha},
               {"targets", job_.lora.targets},
               {"first_layer", job_.lora.first_layer}};
  open.clip_norm = privacy.clip_norm;
  open.noise_multiplier = privacy.noise_multiplier;
  open.sampling_rate = privacy.sampling_rate;
  open.unit = dp::UnitName(privacy.unit);
  open.neighbours = dp::NeighboursName(privacy.neighbours);
  open.spacing = privacy.spacing();
  open.noise_shares = job::NoiseShares(job_);
  open.sites = static_cast<std::int64_t>(job_.sites.size());
  open.rounds = job_.rounds;
  open.units_cap = job_.units_cap;
  open.budget_epsilon = options_.policy.budget_epsilon;
  open.budget_delta = options_.policy.budget_delta;
  open.job_delta = privacy.delta;
  open.max_tokens = job_.max_tokens;
  open.evaluation_rows = job_.evaluation_rows;
  open.micro_batch_tokens = options_.micro_batch_tokens;
  open.threads = options_.threads;
  return open;
}

base::Status Participation::RunRound(const rpc::Round& round, rpc::SiteStream& stream,
                                     Inbox& inbox) {
  if (round.round <= last_round_ || round.round > static_cast<std::uint64_t>(job_.rounds)) {
    return base::Fail(
        base::Code::kDataLoss,
        "the coordinator begins round " + std::to_string(round.round) + ", which is not due");
  }
  const auto train = [this](std::uint64_t number, std::uint64_t attempt,
                            std::span<const float> parameters) {
    return Train(number, attempt, parameters);
  };
  const RoundEnvironment environment{
      job_,   terms_, self_, options_.identity, journal_, options_.state / "outbox",
      stream, inbox,  train};
  std::error_code ignored;  // writing tells
  std::filesystem::create_directories(environment.outbox, ignored);
  std::filesystem::permissions(environment.outbox, std::filesystem::perms::owner_all, ignored);
  last_round_ = round.round;
  base::Status status = Round(environment, round).Run();
  std::filesystem::remove_all(environment.outbox, ignored);
  if (!status) return status;
  ++rounds_taken_;
  return {};
}

base::Result<std::vector<std::int64_t>> Participation::Train(std::uint64_t round,
                                                             std::uint64_t attempt,
                                                             std::span<const float> parameters) {
  const worker::Train request{static_cast<std::int64_t>(round), static_cast<std::int64_t>(attempt)};
  CLOISTER_ASSIGN_OR_RETURN(WorkerChannel::NoisedUpdate update,
                            OwnAffair(worker_->Train(request, parameters)));
  privacy_ = update.privacy;
  if (options_.record_updates) {
    CLOISTER_RETURN_IF_ERROR(RecordUpdate(*options_.record_updates, round, update.values));
  }
  return std::move(update.values);
}

base::Result<nlohmann::ordered_json> Participation::Report(const rpc::SiteStream& stream) {
  base::LogInfo("evaluating the result on held-out rows");
  CLOISTER_ASSIGN_OR_RETURN(const worker::Evaluated after, worker_->Evaluate(result_));
  nlohmann::ordered_json report;
  report["site"] = options_.files.name;
  report["job"] = security::Hex(terms_->job);
  report["name"] = job_.name;
  report["rounds"] = rounds_taken_;  // of this process; ε is the ledger's, of every process
  report["rounds_of_job"] = job_.rounds;
  report["loss_before"] = before_.loss;
  report["loss_after"] = after.loss;
  report["evaluation_rows"] = after.rows;
  report["epsilon"] = NullForInfinity(privacy_.epsilon);
  report["epsilon_alone"] = NullForInfinity(privacy_.epsilon_own_noise);
  report["delta"] = job_.privacy.delta;
  report["colluders"] = job_.colluders;
  report["bytes_sent"] = stream.bytes_sent();
  report["bytes_received"] = stream.bytes_received();
  CLOISTER_RETURN_IF_ERROR(base::WriteFile(options_.state / "report.json", report.dump(2) + "\n",
                                           base::AtomicFile::kPrivateMode));
  return report;
}

void Participation::Interrupt() {
  const std::lock_guard lock(worker_mutex_);
  interrupted_ = true;
  if (worker_) worker_->Interrupt();
}

}  // namespace cloister::federation::site
