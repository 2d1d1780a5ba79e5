#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "federation/job/job.h"
#include "federation/rpc/tls.h"
#include "federation/site/policy.h"
#include "model/architecture.h"
#include "security/certificates.h"
#include "security/primitives.h"

namespace cloister::federation::test {

// A folder of its own, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// A certificate authority and what it issues.
class Authority {
 public:
  Authority();
  rpc::TlsFiles Issue(const std::string& name, security::CertificateRole role) const;
  rpc::TlsFiles Site(const std::string& name) const {
    return Issue(name, security::CertificateRole::kClient);
  }
  rpc::TlsFiles Coordinator() const {
    return Issue("coordinator", security::CertificateRole::kServer);
  }
  // The folder that `federation ca issue` would write.
  static void Write(const rpc::TlsFiles& files, const std::filesystem::path& folder);

 private:
  security::CertificateAndKey pair_;
};

// Sites site-0 … site-(n−1) with identity keys, and a job over them that every rule allows.
struct Parties {
  explicit Parties(std::size_t sites, std::int64_t rounds = 2);

  std::string NameOf(std::size_t site) const { return job.sites.at(site).name; }
  site::Policy PolicyAllowing() const;

  security::Ed25519KeyPair submitter = security::GenerateEd25519();
  std::vector<std::shared_ptr<const security::Ed25519KeyPair>> identities;
  job::Job job;
};

// One layer of `hidden` channels: a rank-1 adapter on v_proj holds hidden + 16 values.
model::Architecture SmallArchitecture(std::int64_t hidden = 64);

}  // namespace cloister::federation::test
