#include "cli/train/worker_command.h"

#include "base/frame_channel.h"
#include "cli/train/site_worker.h"
#include "security/sandbox.h"

namespace cloister::cli {
namespace {

namespace po = boost::program_options;

base::Status Run(std::span<const std::string> arguments) {
  Flags flags;
  flags.usage = "cloister-train worker --fd N";
  flags.about =
      "The half of a federation site that opens the data. `cloister federation site` starts it "
      "and\n"
      "speaks to it over the socket that is open as descriptor N; there is no other use for it.";
  flags.options.add_options()("fd", po::value<int>()->required(),
                              "An open stream socket to the site's daemon");
  CLOISTER_ASSIGN_OR_RETURN(const auto values, Parse(flags, arguments));
  if (!values) return {};
  const int fd = (*values)["fd"].as<int>();
  if (fd < 3) {
    return base::Fail(base::Code::kInvalidArgument,
                      "--fd " + std::to_string(fd) + ": give an open socket's number, 3 or more");
  }
  base::FrameChannel channel(fd);
  SiteWorker worker(&security::DenyNetwork);
  return ServeWorker(channel, worker);
}

}  // namespace

Command FederationWorker() {
  return {"worker", "Work on a federation site's data (started by the site's daemon)", Run};
}

}  // namespace cloister::cli
