#include "federation/coordinator/coordinator.h"

#include <utility>

#include "base/log.h"
#include "federation/coordinator/job_run.h"
#include "federation/job/job_rules.h"
#include "federation/job/signed_job.h"

namespace cloister::federation::coordinator {
namespace {

base::Result<nlohmann::ordered_json> RunJob(JobRun& run, Attendance& attendance, State& state,
                                            const std::stop_token& stop) {
  CLOISTER_RETURN_IF_ERROR(run.Gather(attendance, stop));
  CLOISTER_RETURN_IF_ERROR(run.RunRounds(attendance, state, stop));
  return run.Finish(attendance);
}

}  // namespace

base::Result<nlohmann::ordered_json> Coordinator::RunOne(std::stop_token stop) {
  for (;;) {
    CLOISTER_ASSIGN_OR_RETURN(const rpc::Submitted submitted, attendance_.WaitForJob(stop));
    const auto job = job::Verify(submitted.job);
    base::Result<std::unique_ptr<JobRun>> run =
        job ? JobRun::Create(options_, *job)
            : base::Result<std::unique_ptr<JobRun>>(tl::unexpected<base::Error>(job.error()));
    base::Status taken;
    if (!run) {
      taken = tl::unexpected<base::Error>(run.error());
    } else {
      taken = state_.StartJob(job::Hash(*job), submitted.job);
      if (!taken && taken.error().code == base::Code::kAlreadyExists) {
        taken = base::Fail(base::Code::kAlreadyExists,
                           "this very job was started before, and rounds are never repeated: "
                           "submit it under another name");
      }
    }
    server_.Answer(submitted.submission, taken);
    if (!taken) {
      base::LogWarning("a job of " + submitted.by + " was refused: " + taken.error().message);
      continue;
    }
    base::LogInfo("job " + job->name + " (" + security::Hex(job::Hash(*job)) + ") of " +
                  submitted.by);
    attendance_.Offer(submitted.job, *job, (*run)->words());
    auto report = RunJob(**run, attendance_, state_, stop);
    const base::Status ended =
        state_.EndJob(job::Hash(*job), report ? "done" : report.error().message);
    attendance_.EndJob(report ? rpc::End{} : rpc::End{report.error().code, report.error().message});
    if (report && !ended) return tl::unexpected<base::Error>(ended.error());
    return report;
  }
}

}  // namespace cloister::federation::coordinator
