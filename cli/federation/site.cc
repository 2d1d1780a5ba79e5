#include "federation/site/site.h"

#include <sys/prctl.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "cli/federation/commands.h"
#include "cli/federation/stop_on_signal.h"
#include "federation/site/worker_process.h"

namespace cloister::cli {
namespace {

namespace fs = std::filesystem;
namespace po = boost::program_options;
namespace rpc = federation::rpc;
namespace site = federation::site;

struct Request {
  std::string name;
  std::string coordinator;
  std::string certificates;
  std::string identity;
  std::string model;
  std::string data;
  std::string state;
  std::string policy;
  std::string record_updates;
  int threads = 0;
  int micro_batch_tokens = 0;
  bool json = false;
};

// The daemon's working directory may differ from its worker's some day: paths go over absolute.
base::Result<fs::path> Existing(const std::string& path, const std::string& flag) {
  std::error_code error;
  const fs::path absolute = fs::canonical(path, error);
  if (!error) return absolute;
  return base::Fail(base::Code::kNotFound, "--" + flag + " " + path + ": " + error.message());
}

base::Result<site::Options> OptionsOf(const Request& request) {
  site::Options options;
  options.coordinator = request.coordinator;
  CLOISTER_ASSIGN_OR_RETURN(options.policy, site::ReadPolicy(request.policy));
  CLOISTER_ASSIGN_OR_RETURN(options.files,
                            rpc::ReadTlsFiles(request.certificates, rpc::Side::kClient));
  if (options.files.name != request.name) {
    return base::Fail(base::Code::kUnauthenticated,
                      request.certificates + ": the certificate is for '" + options.files.name +
                          "' and not for '" + request.name + "': use this site's own folder");
  }
  CLOISTER_ASSIGN_OR_RETURN(security::Ed25519KeyPair identity,
                            security::ReadEd25519PrivatePem(request.identity));
  options.identity = std::make_shared<const security::Ed25519KeyPair>(std::move(identity));
  CLOISTER_ASSIGN_OR_RETURN(options.model, Existing(request.model, "model"));
  CLOISTER_ASSIGN_OR_RETURN(options.data, Existing(request.data, "data"));
  options.state = fs::absolute(request.state);
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  options.threads = request.threads > 0 ? request.threads : static_cast<int>(cores);
  options.micro_batch_tokens = request.micro_batch_tokens;
  if (!request.record_updates.empty()) options.record_updates = request.record_updates;
  std::error_code ignored;  // a wrong path fails to start, with its name
  const fs::path self = fs::read_symlink("/proc/self/exe", ignored);
  options.start_worker = [worker = self.parent_path() / "cloister-train"] {
    return site::StartWorker(worker);
  };
  return options;
}

base::Status Run(std::span<const std::string> arguments) {
  // For the worker: threads that wait in a spin would take the processor from the machine's other
  // work. Set before there is a second thread.
  ::setenv("OMP_WAIT_POLICY", "passive", /*overwrite=*/0);
  Request request;
  Flags flags{
      "cloister federation site --name N --coordinator H:P --certificates DIR --identity KEY "
      "--model P --data DIR --state DIR --policy F",
      "Takes part in one job of a federation, then ends. Dials the coordinator, checks the job's\n"
      "signature and terms against the policy file, and starts a worker (cloister-train), which\n"
      "alone opens the data: it clips, adds its share of noise and charges the ledger before an\n"
      "update leaves it. This process holds the keys and the network and never opens the data.\n"
      "Prints a report: held-out loss before and after (it stays here), ε, bytes.\n"
      "Exits with 3 where the policy or the data set's budget forbids the job."};
  auto add = flags.options.add_options();
  add("name", po::value(&request.name)->required(), "This site's name, as in its certificate");
  add("coordinator", po::value(&request.coordinator)->required(), "Host and port to dial");
  add("certificates", po::value(&request.certificates)->required(),
      "This site's folder (ca issue --role site)");
  add("identity", po::value(&request.identity)->required(),
      "Ed25519 private key (PEM) of this site");
  add("model", po::value(&request.model)->required(),
      "The base model: GGUF or Hugging Face folder");
  add("data", po::value(&request.data)->required(),
      "Folder with train.jsonl and eval.jsonl (chat messages a line)");
  add("state", po::value(&request.state)->required(),
      "Folder for ledger, signed choices and report; keep it as long as the data");
  add("policy", po::value(&request.policy)->required(),
      "What jobs may do here (YAML, see the guide)");
  add("threads", po::value(&request.threads)->default_value(0),
      "Worker's threads, 0 for all cores");
  add("micro-batch-tokens", po::value(&request.micro_batch_tokens)->default_value(2048),
      "Tokens that the worker holds at once: less needs less memory, the result is the same");
  add("record-updates", po::value(&request.record_updates),
      "Also keep this site's noised integers here, as round-N.i64 (int64, little-endian)");
  add("json", po::bool_switch(&request.json), "Print one JSON object");
  CLOISTER_ASSIGN_OR_RETURN(const auto values, Parse(flags, arguments));
  if (!values) return {};
  if (request.threads < 0 || request.threads > 4096 || request.micro_batch_tokens < 1) {
    return base::Fail(base::Code::kInvalidArgument,
                      "--threads must be from 0 to 4096, --micro-batch-tokens from 1");
  }
  const StopOnSignal signals;
  // From before the keys are read, no other process of this user, the worker among them, can read
  // this one's memory; it leaves no core either. The worker's exec ends this for the worker.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return base::Fail(base::Code::kInternal, "cannot keep this process's memory to itself");
  }
  CLOISTER_ASSIGN_OR_RETURN(const site::Options options, OptionsOf(request));
  CLOISTER_ASSIGN_OR_RETURN(const auto report, site::TakePart(options, signals.token()));
  PrintResult(report, request.json);
  return {};
}

}  // namespace

Command FederationSiteCommand() {
  return {"federation site", "Take part in a federation's job with this site's data", Run};
}

}  // namespace cloister::cli
