#pragma once

#include <string>

#include "base/result.h"
#include "federation/job/job.h"

namespace cloister::federation::job {

// Reads the YAML file that a person writes (docs/guide/federation.md has an example). Every key is
// required but privacy.max_epsilon; nothing has a default. A site's identity is 64 hex digits or
// the path of an Ed25519 public key (PEM), relative to the file. kInvalidArgument with every wrong
// key and value; then as Validate(job).
base::Result<Job> ReadJobFile(const std::string& path);

// An Ed25519 public key as 64 hex digits or as the path of a PEM file relative to `folder`.
base::Result<security::Ed25519PublicKey> ReadIdentity(const std::string& text,
                                                      const std::string& folder);

}  // namespace cloister::federation::job
