#include "federation/coordinator/job_run.h"

#include <chrono>
#include <cstring>
#include <set>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "federation/coordinator/attempt.h"
#include "federation/job/job_rules.h"
#include "federation/job/round_context.h"
#include "model/adapter.h"

namespace cloister::federation::coordinator {
namespace {

using Clock = std::chrono::steady_clock;

// Without a journal of aborts every round has one attempt.
constexpr std::uint64_t kAttempt = 1;

protocol::Bytes LittleEndian(std::span<const std::int64_t> values) {
  protocol::Writer writer;
  for (const std::int64_t value : values) writer.U64(static_cast<std::uint64_t>(value));
  return std::move(writer).Take();
}

std::string Missing(const Attendance& attendance, const job::Job& job) {
  const std::set<protocol::SiteIndex> ready = attendance.ready();
  std::string text;
  for (std::size_t i = 0; i < job.sites.size(); ++i) {
    const auto site = static_cast<protocol::SiteIndex>(i);
    if (ready.contains(site)) continue;
    const auto declined = attendance.declined().find(site);
    text += (text.empty() ? "" : "; ") + job.sites[i].name + " " +
            (declined == attendance.declined().end() ? "is not there"
                                                     : "declined: " + declined->second);
  }
  return text;
}

}  // namespace

base::Result<std::unique_ptr<JobRun>> JobRun::Create(const Options& options, const job::Job& job) {
  CLOISTER_RETURN_IF_ERROR(model::Validate(job.lora, options.architecture));
  const auto layout = model::AdapterLayout(job.lora, options.architecture);
  const std::int64_t size = model::AdapterSize(layout);
  if (size > options.max_parameters) {
    return base::Fail(base::Code::kInvalidArgument,
                      "the job's adapter has " + std::to_string(size) +
                          " values, the coordinator runs at most " +
                          std::to_string(options.max_parameters) + " (--max-parameters)");
  }
  CLOISTER_RETURN_IF_ERROR(job::ValidateFor(job, size));
  aggregation::AdamWOptions adamw;
  adamw.learning_rate = job.optimizer.lr;
  adamw.beta1 = job.optimizer.beta1;
  adamw.beta2 = job.optimizer.beta2;
  adamw.epsilon = job.optimizer.eps;
  adamw.weight_decay = job.optimizer.weight_decay;
  CLOISTER_ASSIGN_OR_RETURN(aggregation::FedSgd strategy,
                            aggregation::FedSgd::Create(adamw, static_cast<std::size_t>(size)));
  std::unique_ptr<JobRun> run(new JobRun(options, job, std::move(strategy)));
  std::error_code ignored;  // writing tells
  if (options.folder_per_job && std::filesystem::exists(run->output(), ignored)) {
    return base::Fail(base::Code::kAlreadyExists,
                      "an earlier job's result has the name " + job.name +
                          " at the coordinator: submit the job under another name");
  }
  run->terms_ = std::make_shared<const protocol::Terms>(job::TermsOf(job, size));
  CLOISTER_RETURN_IF_ERROR(protocol::Validate(*run->terms_));
  run->parameters_ = model::InitialAdapter(layout, job.adapter_seed);
  CLOISTER_ASSIGN_OR_RETURN(const job::JobPrivacy privacy, job::PrivacyOf(job, size));
  run->epsilon_ = privacy.epsilon;
  run->epsilon_alone_ = privacy.epsilon_alone;
  return run;
}

base::Status JobRun::Gather(Attendance& attendance, std::stop_token stop) {
  const std::size_t needed = protocol::SmallestCohort(terms_->parameters);
  const auto start = Clock::now();
  const auto deadline = start + std::chrono::seconds(job_.timeouts.gather);
  const std::size_t all = job_.sites.size();
  while (attendance.ready().size() + attendance.declined().size() < all &&
         attendance.declined().size() + needed <= all) {
    const auto event = attendance.Next(deadline, stop);
    if (event) {
      if (*event && (*event)->message) {
        attendance.Drop((*event)->site,
                        {base::Code::kFailedPrecondition, "no round has begun yet"});
      }
      continue;
    }
    if (event.error().code == base::Code::kDeadlineExceeded) break;
    return tl::unexpected<base::Error>(event.error());
  }
  phase_seconds_["gather"] = std::chrono::duration<double>(Clock::now() - start).count();
  if (attendance.ready().size() >= needed) return {};
  return base::Fail(base::Code::kUnavailable,
                    "too few sites: " + std::to_string(attendance.ready().size()) + " of " +
                        std::to_string(all) + " are ready, the job needs " +
                        std::to_string(needed) + " (" + Missing(attendance, job_) +
                        "): start the missing sites and submit the job under another name");
}

base::Status JobRun::RunRounds(Attendance& attendance, State& state, std::stop_token stop) {
  progress_ = std::make_unique<base::Progress>("federation",
                                               static_cast<std::uint64_t>(job_.rounds), "rounds");
  for (std::int64_t round = 1; round <= job_.rounds; ++round) {
    if (auto status = RunRound(attendance, state, static_cast<std::uint64_t>(round), stop);
        !status) {
      progress_.reset();
      const std::string where = "round " + std::to_string(round) + " of job " + job_.name;
      return base::Annotate(std::move(status), where);
    }
  }
  progress_->Finish("done");
  progress_.reset();
  return {};
}

base::Status JobRun::RunRound(Attendance& attendance, State& state, std::uint64_t round,
                              std::stop_token stop) {
  const protocol::AttemptId id{terms_->job, round, kAttempt};
  const PhaseObserver show = [this](const std::string& phase, std::size_t answered,
                                    std::size_t awaited) { Show(phase, answered, awaited); };
  Attempt attempt(attendance, state, job_, terms_, id, show, std::move(stop));
  const auto sum = attempt.Run(job::EncodeParameters(parameters_));
  for (const auto& [phase, seconds] : attempt.phase_seconds()) phase_seconds_[phase] += seconds;
  if (!sum) return tl::unexpected<base::Error>(sum.error());
  const auto start = Clock::now();
  CLOISTER_RETURN_IF_ERROR(Apply(*sum));
  const protocol::Bytes bytes = LittleEndian(sum->sum);
  const auto survivors = attendance.NamesOf({sum->survivors.begin(), sum->survivors.end()});
  CLOISTER_RETURN_IF_ERROR(RecordSum(round, bytes));
  CLOISTER_RETURN_IF_ERROR(state.FinishRound(id, survivors, security::HashBytes(bytes),
                                             job::EncodeParameters(parameters_)));
  survivors_.push_back(survivors);
  phase_seconds_["aggregate"] += std::chrono::duration<double>(Clock::now() - start).count();
  return {};
}

base::Status JobRun::Apply(const protocol::SecureSum& sum) {
  // Public nominal sizes of the survivors, so that the divisor says nothing about who was drawn.
  double nominal = 0;
  for (const protocol::SiteIndex site : sum.survivors) {
    nominal += static_cast<double>(job_.sites.at(site).nominal_units);
  }
  nominal *= job_.privacy.sampling_rate;
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<double> gradient,
                            aggregation::MeanGradient(sum.sum, job_.privacy.spacing(), nominal));
  CLOISTER_ASSIGN_OR_RETURN(parameters_, strategy_.Step(parameters_, gradient));
  return {};
}

base::Status JobRun::RecordSum(std::uint64_t round, const protocol::Bytes& sum) const {
  if (!options_.record_sums) return {};
  std::error_code ignored;  // writing tells
  std::filesystem::create_directories(*options_.record_sums, ignored);
  const auto path = *options_.record_sums / ("round-" + std::to_string(round) + ".i64");
  return base::WriteFile(path, {reinterpret_cast<const char*>(sum.data()), sum.size()});
}

void JobRun::Show(const std::string& phase, std::size_t answered, std::size_t awaited) {
  if (!progress_) return;
  progress_->Update(survivors_.size(), "round " + std::to_string(survivors_.size() + 1) + ": " +
                                           phase + ", " + std::to_string(answered) + " of " +
                                           std::to_string(awaited) + " sites");
}

base::Result<nlohmann::ordered_json> JobRun::Finish(Attendance& attendance) {
  const protocol::Bytes bytes = job::EncodeParameters(parameters_);
  CLOISTER_RETURN_IF_ERROR(model::SaveAdapter(output(), job_.lora, options_.architecture,
                                              parameters_, options_.base_model));
  rpc::Round last{static_cast<std::uint64_t>(job_.rounds), kAttempt, bytes.size(),
                  security::HashBytes(bytes), true};
  for (const protocol::SiteIndex site : attendance.ready()) {
    attendance.Send(site, last);
    for (std::size_t offset = 0; offset < bytes.size(); offset += rpc::kChunkBytes) {
      const std::size_t end = std::min(bytes.size(), offset + rpc::kChunkBytes);
      const auto first = bytes.begin() + static_cast<std::ptrdiff_t>(offset);
      attendance.Send(site, rpc::ParameterChunk{
                                offset, {first, bytes.begin() + static_cast<std::ptrdiff_t>(end)}});
    }
  }
  nlohmann::ordered_json report = Report(attendance);
  CLOISTER_RETURN_IF_ERROR(base::WriteFile(output() / "report.json", report.dump(2) + "\n"));
  return report;
}

std::filesystem::path JobRun::output() const {
  return options_.folder_per_job ? options_.output / job_.name : options_.output;
}

nlohmann::ordered_json JobRun::Report(const Attendance& attendance) const {
  nlohmann::ordered_json received;
  nlohmann::ordered_json sent;
  for (std::size_t i = 0; i < job_.sites.size(); ++i) {
    const auto traffic = attendance.TrafficOf(static_cast<protocol::SiteIndex>(i));
    received[job_.sites[i].name] = traffic.received;
    sent[job_.sites[i].name] = traffic.sent;
  }
  nlohmann::ordered_json report;
  report["job"] = security::Hex(terms_->job);
  report["name"] = job_.name;
  report["rounds"] = survivors_.size();
  report["survivors"] = survivors_;
  report["parameters"] = terms_->words;
  report["epsilon"] = epsilon_;
  report["epsilon_alone"] = epsilon_alone_;
  report["delta"] = job_.privacy.delta;
  report["colluders"] = job_.colluders;
  report["phase_seconds"] = phase_seconds_;
  report["bytes_received"] = received;
  report["bytes_sent"] = sent;
  report["output"] = output().string();
  return report;
}

}  // namespace cloister::federation::coordinator
