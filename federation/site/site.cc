#include "federation/site/site.h"

#include <chrono>
#include <utility>

#include "base/log.h"
#include "federation/rpc/client.h"
#include "federation/site/cut_off.h"
#include "federation/site/inbox.h"
#include "federation/site/journal.h"
#include "federation/site/participation.h"

namespace cloister::federation::site {
namespace {

constexpr std::chrono::seconds kPatience{30};  // for a coordinator that is not up yet
constexpr std::chrono::milliseconds kGoodbye{2000};

// What the coordinator is told about a site's leaving. Reasons of the site's own (its data, its
// ledger, its worker) stay at home; a veto is told, since it speaks of the job alone.
rpc::End Goodbye(const base::Error& error) {
  switch (error.code) {
    case base::Code::kPermissionDenied:
      return {error.code, error.message};
    case base::Code::kCancelled:
      return {base::Code::kAborted, "it was stopped"};
    default:
      return {base::Code::kAborted, "it left after an error of its own"};
  }
}

// The error that a person should see: a worker that was interrupted because the coordinator ended
// the job is a consequence, not the reason.
base::Error Reason(const base::Error& error, const Inbox& inbox, const std::stop_token& stop) {
  if (stop.stop_requested())
    return {
        base::Code::kCancelled,
        "stopped by a signal before the job ended: start the site again to join its next round"};
  if (error.code == base::Code::kAborted) {
    if (const auto ended = inbox.ended()) return *ended;
  }
  return error;
}

}  // namespace

base::Result<nlohmann::ordered_json> TakePart(const Options& options, std::stop_token stop) {
  CLOISTER_ASSIGN_OR_RETURN(Journal journal, Journal::Open(options.state));
  Participation participation(options, std::move(journal));
  CLOISTER_ASSIGN_OR_RETURN(
      const std::unique_ptr<rpc::SiteStream> stream,
      options.dial ? options.dial(stop)
                   : rpc::SiteStream::Dial(options.coordinator, options.files, kPatience, stop));
  base::LogInfo("attending coordinator " + options.coordinator);
  const std::stop_callback interrupt(stop, [&] { participation.Interrupt(); });
  Inbox inbox(
      *stream, [&] { participation.Interrupt(); }, options.patience);
  const base::Status status = participation.Run(*stream, inbox);
  if (!status) {
    const base::Error reason = Reason(status.error(), inbox, stop);
    {
      const CutOff cut_off(*stream, kGoodbye);
      stream->Leave(Goodbye(reason));
    }
    inbox.WaitForEnd(kGoodbye);
    if (reason.code == base::Code::kPermissionDenied && participation.vetoed()) {
      return base::Fail(reason.code, options.policy.path + ": " + reason.message);
    }
    return tl::unexpected<base::Error>(reason);
  }
  {
    const CutOff cut_off(*stream, kGoodbye);
    stream->Leave({});
  }
  return participation.Report(*stream);
}

}  // namespace cloister::federation::site
