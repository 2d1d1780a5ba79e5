#include "federation/coordinator/coordinator.h"

#include <algorithm>
#include <new>
#include <utility>

#include "base/log.h"
#include "federation/coordinator/job_run.h"
#include "federation/job/job_rules.h"
#include "federation/job/signed_job.h"

namespace cloister::federation::coordinator {
namespace {

tl::unexpected<base::Error> OutOfMemory() {
  return base::Fail(base::Code::kUnavailable,
                    "the coordinator has too little memory for the job: a smaller adapter, fewer "
                    "sites, or --max-parameters to refuse such a job at once");
}

base::Result<nlohmann::ordered_json> RunJob(JobRun& run, Attendance& attendance, State& state,
                                            const std::stop_token& stop) {
  // A job that is too large for this host ends, and no other does.
  try {
    CLOISTER_RETURN_IF_ERROR(run.Gather(attendance, stop));
    CLOISTER_RETURN_IF_ERROR(run.RunRounds(attendance, state, stop));
    return run.Finish(attendance);
  } catch (const std::bad_alloc&) {
    return OutOfMemory();
  }
}

bool Knows(const Options& options, const security::Ed25519PublicKey& submitter) {
  return std::find(options.submitters.begin(), options.submitters.end(), submitter) !=
         options.submitters.end();
}

base::Result<std::unique_ptr<JobRun>> Prepare(const Options& options,
                                              const job::SignedJob& signed_job) {
  // Before anything of the job is read.
  if (!Knows(options, signed_job.submitter)) {
    return base::Fail(base::Code::kPermissionDenied,
                      "the coordinator does not know submitter " +
                          security::Hex(signed_job.submitter) +
                          ": its operator must name the key with --submitters");
  }
  try {
    CLOISTER_ASSIGN_OR_RETURN(const job::Job job, job::Verify(signed_job));
    return JobRun::Create(options, job);
  } catch (const std::bad_alloc&) {
    return OutOfMemory();
  }
}

}  // namespace

base::Result<nlohmann::ordered_json> Coordinator::RunOne(std::stop_token stop) {
  for (;;) {
    CLOISTER_ASSIGN_OR_RETURN(const rpc::Submitted submitted, attendance_.WaitForJob(stop));
    base::Result<std::unique_ptr<JobRun>> run = Prepare(options_, submitted.job);
    base::Status taken;
    if (!run) {
      taken = tl::unexpected<base::Error>(run.error());
    } else {
      taken = state_.StartJob((*run)->hash(), submitted.job);
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
    const job::Job& job = (*run)->job();
    base::LogInfo("job " + job.name + " (" + security::Hex((*run)->hash()) + ") of " +
                  submitted.by);
    attendance_.Offer(submitted.job, job, (*run)->words());
    auto report = RunJob(**run, attendance_, state_, stop);
    const base::Status ended =
        state_.EndJob((*run)->hash(), report ? "done" : report.error().message);
    attendance_.EndJob(report ? rpc::End{} : rpc::End{report.error().code, report.error().message});
    if (report && !ended) return tl::unexpected<base::Error>(ended.error());
    return report;
  }
}

}  // namespace cloister::federation::coordinator
