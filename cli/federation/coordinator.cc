#include "federation/coordinator/coordinator.h"

#include <chrono>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "cli/federation/commands.h"
#include "cli/federation/stop_on_signal.h"
#include "federation/rpc/server.h"
#include "model/model_files.h"

namespace cloister::cli {
namespace {

namespace po = boost::program_options;
namespace rpc = federation::rpc;
using federation::coordinator::Coordinator;
using federation::coordinator::Options;
using federation::coordinator::State;

struct Request {
  std::string listen;
  std::string certificates;
  std::string model;
  std::string state;
  std::string output;
  std::string record_sums;
  std::vector<std::string> submitters;
  std::int64_t max_parameters = 0;
  bool once = false;
  bool json = false;
};

base::Result<Options> OptionsOf(const Request& request) {
  CLOISTER_ASSIGN_OR_RETURN(const auto files, model::ModelFiles::Open(request.model));
  Options options;
  CLOISTER_ASSIGN_OR_RETURN(options.architecture, files->architecture());
  options.base_model = std::filesystem::path(request.model).filename().string();
  options.output = request.output;
  options.folder_per_job = !request.once;
  options.max_parameters = request.max_parameters;
  for (const std::string& path : request.submitters) {
    CLOISTER_ASSIGN_OR_RETURN(const security::Ed25519PublicKey key,
                              security::ReadEd25519PublicPem(path));
    options.submitters.push_back(key);
  }
  if (!request.record_sums.empty()) options.record_sums = request.record_sums;
  return options;
}

base::Status RunJobs(const Request& request, rpc::Server& server, Coordinator& coordinator,
                     const std::stop_token& stop) {
  // Streams end before the server goes, so that every site hears how its job ended.
  constexpr std::chrono::seconds kPatience{5};
  for (;;) {
    const auto report = coordinator.RunOne(stop);
    if (report) {
      PrintResult(*report, request.json);
      std::cout.flush();
    }
    const bool stopped = !report && report.error().code == base::Code::kCancelled;
    if (request.once || stopped) {
      server.Shutdown(kPatience);
      if (report || (stopped && !request.once)) return {};
      return tl::unexpected<base::Error>(report.error());
    }
    if (!report) base::LogError(report.error().message);
  }
}

base::Status Serve(const Request& request) {
  const StopOnSignal signals;
  CLOISTER_ASSIGN_OR_RETURN(const rpc::TlsFiles files,
                            rpc::ReadTlsFiles(request.certificates, rpc::Side::kServer));
  CLOISTER_ASSIGN_OR_RETURN(Options options, OptionsOf(request));
  CLOISTER_ASSIGN_OR_RETURN(const std::unique_ptr<State> state, State::Open(request.state));
  CLOISTER_ASSIGN_OR_RETURN(const std::unique_ptr<rpc::Server> server,
                            rpc::Server::Start(request.listen, files));
  PrintResult({{"address", server->address()}}, request.json);
  std::cout.flush();
  Coordinator coordinator(*server, *state, std::move(options));
  return RunJobs(request, *server, coordinator, signals.token());
}

base::Status Run(std::span<const std::string> arguments) {
  Request request;
  Flags flags{
      "cloister federation coordinator --listen H:P --certificates DIR --submitters KEY.pem "
      "--model P --state DIR --output DIR",
      "Runs the federation's rounds: waits for a signed job (cloister federation submit) and\n"
      "for the sites that it names, adds up their masked updates, and writes the finished\n"
      "adapter. It learns only sums. Mutual TLS 1.3; sites dial in, it dials nobody. Prints\n"
      "the address it listens on, then a report for each job; progress goes to stderr."};
  auto add = flags.options.add_options();
  add("listen", po::value(&request.listen)->required(),
      "Address and port, 127.0.0.1:0 for any free port");
  add("certificates", po::value(&request.certificates)->required(),
      "This coordinator's folder (ca issue --role coordinator)");
  add("submitters", po::value(&request.submitters)->required(),
      "Public key (PEM) of somebody whose jobs are run; may be repeated");
  add("model", po::value(&request.model)->required(),
      "The base model: GGUF file or Hugging Face folder; only its description is read");
  add("state", po::value(&request.state)->required(), "Folder for the durable state (SQLite)");
  add("output", po::value(&request.output)->required(),
      "Folder for the adapter (PEFT) and report.json; without --once a new folder a job below it");
  add("record-sums", po::value(&request.record_sums),
      "Also write each round's noised sum here, as round-N.i64 (int64, little-endian)");
  add("max-parameters", po::value(&request.max_parameters)->default_value(Options().max_parameters),
      "Largest adapter, in values, that is run here");
  add("once", po::bool_switch(&request.once), "End after one job, with its outcome");
  add("json", po::bool_switch(&request.json), "Print one JSON object a line");
  CLOISTER_ASSIGN_OR_RETURN(const auto values, Parse(flags, arguments));
  if (!values) return {};
  // More would not fit what may wait in line for one site.
  if (request.max_parameters < 1 || request.max_parameters > Options().max_parameters) {
    return base::Fail(base::Code::kInvalidArgument, "--max-parameters must be from 1 to " +
                                                        std::to_string(Options().max_parameters));
  }
  return Serve(request);
}

}  // namespace

Command FederationCoordinatorCommand() {
  return {"federation coordinator", "Run a federation's rounds", Run};
}

}  // namespace cloister::cli
