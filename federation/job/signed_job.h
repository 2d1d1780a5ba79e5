#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "federation/job/job.h"
#include "security/primitives.h"

namespace cloister::federation::job {

// A job under its submitter's Ed25519 signature, as it travels.
struct SignedJob {
  std::string job;  // canonical bytes
  security::Ed25519PublicKey submitter{};
  security::Ed25519Signature signature{};

  friend bool operator==(const SignedJob&, const SignedJob&) = default;
};

SignedJob Sign(const Job& job, const security::Ed25519KeyPair& submitter);

// The job inside, if the signature is the named submitter's and the job is well formed and valid.
// kUnauthenticated for a wrong signature, kDataLoss for a malformed job, else as Validate. Whether
// the submitter may submit is the caller's policy.
base::Result<Job> Verify(const SignedJob& signed_job);

}  // namespace cloister::federation::job
