#include "tests/federation/support/parties.h"

#include <stdlib.h>

#include <utility>

#include "base/file.h"

namespace cloister::federation::test {

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "cloister-test.XXXXXX").string();
  path_ = ::mkdtemp(pattern.data());
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Authority::Authority() : pair_(security::CreateAuthority("test-authority", 30).value()) {}

rpc::TlsFiles Authority::Issue(const std::string& name, security::CertificateRole role) const {
  security::LeafRequest request;
  request.name = name;
  request.role = role;
  request.valid_days = 10;
  if (role == security::CertificateRole::kServer) request.addresses = {"localhost", "127.0.0.1"};
  const auto issued = security::IssueCertificate(pair_, request).value();
  const auto key = issued.private_key_pem.bytes();
  return {pair_.certificate_pem, issued.certificate_pem, {key.begin(), key.end()}, name};
}

void Authority::Write(const rpc::TlsFiles& files, const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  ASSERT_TRUE(base::WriteFile(folder / rpc::kAuthorityFile, files.authority_pem));
  ASSERT_TRUE(base::WriteFile(folder / rpc::kCertificateFile, files.certificate_pem));
  ASSERT_TRUE(base::WriteFile(folder / rpc::kKeyFile, files.key_pem, 0600));
}

Parties::Parties(std::size_t sites, std::int64_t rounds) {
  job.name = "test-job";
  job.model_sha256 = std::string(64, 'a');
  for (std::size_t i = 0; i < sites; ++i) {
    auto identity = std::make_shared<security::Ed25519KeyPair>(security::GenerateEd25519());
    job.sites.push_back({"site-" + std::to_string(i), identity->public_key, 500});
    identities.push_back(std::move(identity));
  }
  job.colluders = 1;
  job.minimum_cohort = 3;
  job.rounds = rounds;
  job.lora.rank = 1;
  job.lora.alpha = 2;
  job.lora.targets = {"v_proj"};
  job.adapter_seed = 7;
  job.privacy.mode = "distributed";
  job.privacy.clip_norm = 0.1;
  job.privacy.noise_multiplier = 1.0;
  job.privacy.sampling_rate = 0.05;
  job.privacy.unit = dp::PrivacyUnit::kRecord;
  job.privacy.neighbours = dp::Neighbours::kAddOrRemoveOne;
  job.privacy.delta = 1e-5;
  job.privacy.spacing_bits = 18;
  job.privacy.max_epsilon = 8;
  job.optimizer = {0.01, 0.9, 0.999, 1e-8, 0};
  job.units_cap = 600;
  job.max_tokens = 64;
  job.evaluation_rows = 4;
  job.timeouts = {20, 20, 20, 20, 20, 20};
}

site::Policy Parties::PolicyAllowing() const {
  site::Policy policy;
  policy.path = "policy.yaml";
  policy.submitters = {submitter.public_key};
  for (const job::JobSite& site : job.sites) policy.peers.push_back(site.identity);
  policy.models = {job.model_sha256};
  policy.minimum_cohort = 3;
  policy.colluders = 1;
  policy.epsilon_per_job = 8;
  policy.budget_epsilon = 10;
  policy.budget_delta = 1e-5;
  return policy;
}

model::Architecture SmallArchitecture(std::int64_t hidden) {
  model::Architecture architecture;
  architecture.vocab_size = 32;
  architecture.hidden_size = hidden;
  architecture.intermediate_size = 32;
  architecture.num_layers = 1;
  architecture.num_heads = hidden / 16;
  architecture.num_kv_heads = 1;
  architecture.head_dim = 16;
  architecture.max_positions = 128;
  architecture.tie_word_embeddings = true;
  return architecture;
}

}  // namespace cloister::federation::test
