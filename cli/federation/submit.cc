#include <string>

#include "cli/federation/commands.h"
#include "federation/job/job_rules.h"
#include "federation/job/job_yaml.h"
#include "federation/job/signed_job.h"
#include "federation/rpc/client.h"
#include "model/model_files.h"

namespace cloister::cli {
namespace {

namespace po = boost::program_options;
namespace job = federation::job;
namespace rpc = federation::rpc;

struct Request {
  std::string job;
  std::string key;
  std::string coordinator;
  std::string certificates;
  std::string model;
  bool dry_run = false;
  bool json = false;
};

// With the model the adapter's own size; without it the largest that the job's lattice allows, so
// that the ε that is printed is never too small.
base::Result<std::int64_t> AdapterSize(const Request& request, const job::Job& plan) {
  if (request.model.empty()) return job::LargestAdapter(plan.privacy);
  CLOISTER_ASSIGN_OR_RETURN(const auto files, model::ModelFiles::Open(request.model));
  CLOISTER_ASSIGN_OR_RETURN(const model::Architecture architecture, files->architecture());
  CLOISTER_RETURN_IF_ERROR(model::Validate(plan.lora, architecture));
  const std::int64_t size = model::AdapterSize(model::AdapterLayout(plan.lora, architecture));
  CLOISTER_RETURN_IF_ERROR(job::ValidateFor(plan, size));
  return size;
}

base::Result<nlohmann::ordered_json> Summary(const Request& request, const job::Job& plan) {
  CLOISTER_ASSIGN_OR_RETURN(const std::int64_t parameters, AdapterSize(request, plan));
  CLOISTER_ASSIGN_OR_RETURN(const job::JobPrivacy privacy, job::PrivacyOf(plan, parameters));
  const federation::protocol::Parameters numbers = job::ParametersOf(plan);
  nlohmann::ordered_json summary;
  summary["job"] = security::Hex(job::Hash(plan));
  summary["name"] = plan.name;
  summary["sites"] = numbers.sites;
  summary["threshold"] = numbers.threshold;
  summary["colluders"] = numbers.colluders;
  summary["smallest_cohort"] = federation::protocol::SmallestCohort(numbers);
  summary["rounds"] = plan.rounds;
  summary["epsilon"] = privacy.epsilon;
  summary["epsilon_alone"] = privacy.epsilon_alone;
  summary["delta"] = plan.privacy.delta;
  summary["neighbours"] = dp::NeighboursName(plan.privacy.neighbours);
  return summary;
}

base::Status Submit(const Request& request) {
  if (!request.dry_run && (request.coordinator.empty() || request.certificates.empty())) {
    return base::Fail(base::Code::kInvalidArgument,
                      "--coordinator and --certificates are needed without --dry-run");
  }
  CLOISTER_ASSIGN_OR_RETURN(const job::Job plan, job::ReadJobFile(request.job));
  CLOISTER_ASSIGN_OR_RETURN(const security::Ed25519KeyPair key,
                            security::ReadEd25519PrivatePem(request.key));
  CLOISTER_ASSIGN_OR_RETURN(nlohmann::ordered_json summary, Summary(request, plan));
  if (!request.dry_run) {
    CLOISTER_ASSIGN_OR_RETURN(const rpc::TlsFiles files,
                              rpc::ReadTlsFiles(request.certificates, rpc::Side::kClient));
    CLOISTER_RETURN_IF_ERROR(rpc::SubmitJob(request.coordinator, files, job::Sign(plan, key)));
  }
  summary["submitted"] = !request.dry_run;
  PrintResult(summary, request.json);
  return {};
}

base::Status Run(std::span<const std::string> arguments) {
  Request request;
  Flags flags{
      "cloister federation submit --job F.yaml --key SUBMITTER.pem --coordinator H:P "
      "--certificates DIR",
      "Checks a job file, signs it and hands it to the coordinator. Prints the job's hash, its\n"
      "sites n, threshold t and colluders c, and ε of the whole job at its δ (RDP): for at most\n"
      "c colluding sites, and with one site's own noise alone. Everything that is wrong in the\n"
      "file is named at once. The signature is what sites check: keep the key to yourself."};
  auto add = flags.options.add_options();
  add("job", po::value(&request.job)->required(), "The job (YAML, see the guide)");
  add("key", po::value(&request.key)->required(), "The submitter's Ed25519 private key (PEM)");
  add("coordinator", po::value(&request.coordinator), "Host and port to dial");
  add("certificates", po::value(&request.certificates),
      "The submitter's folder (ca issue --role submitter)");
  add("model", po::value(&request.model),
      "The base model, for ε of the adapter's real size; else the largest allowed is assumed");
  add("dry-run", po::bool_switch(&request.dry_run), "Only check and print");
  add("json", po::bool_switch(&request.json), "Print one JSON object");
  CLOISTER_ASSIGN_OR_RETURN(const auto values, Parse(flags, arguments));
  if (!values) return {};
  return Submit(request);
}

}  // namespace

Command FederationSubmitCommand() {
  return {"federation submit", "Check, sign and submit a job", Run};
}

}  // namespace cloister::cli
