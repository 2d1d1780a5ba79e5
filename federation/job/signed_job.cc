#include "federation/job/signed_job.h"

#include <string_view>

#include "federation/job/job_rules.h"

namespace cloister::federation::job {
namespace {

// So that a signature over a job means nothing as a signature over anything else.
constexpr std::string_view kDomain = "cloister federation job v1";

std::vector<std::uint8_t> SignedBytes(const std::string& job) {
  std::vector<std::uint8_t> bytes(kDomain.begin(), kDomain.end());
  bytes.push_back(0);
  bytes.insert(bytes.end(), job.begin(), job.end());
  return bytes;
}

}  // namespace

SignedJob Sign(const Job& job, const security::Ed25519KeyPair& submitter) {
  SignedJob result;
  result.job = CanonicalBytes(job);
  result.submitter = submitter.public_key;
  result.signature = security::SignEd25519(submitter, SignedBytes(result.job));
  return result;
}

base::Result<Job> Verify(const SignedJob& signed_job) {
  if (signed_job.job.size() > kLongestJob) {
    return base::Fail(base::Code::kDataLoss, "the job is longer than 1 MiB");
  }
  if (!security::VerifyEd25519(signed_job.submitter, SignedBytes(signed_job.job),
                               signed_job.signature)) {
    return base::Fail(base::Code::kUnauthenticated,
                      "the job's signature is not its submitter's: submit it again");
  }
  CLOISTER_ASSIGN_OR_RETURN(Job job, ParseCanonical(signed_job.job));
  CLOISTER_RETURN_IF_ERROR(Validate(job));
  return job;
}

}  // namespace cloister::federation::job
