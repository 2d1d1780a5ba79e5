#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>

#include "base/result.h"
#include "federation/rpc/client.h"

namespace cloister::federation::site {

// Reads the coordinator's messages while the site trains, so that an end of the job is seen at
// once: `ended` is called (from another thread) when the coordinator is lost or ends the job early.
class Inbox {
 public:
  Inbox(rpc::SiteStream& stream, std::function<void()> ended);
  ~Inbox();  // breaks the stream off
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  // The next message but an End, which comes as an error: kPermissionDenied and what the
  // coordinator says when it refuses this site, otherwise kUnavailable.
  base::Result<rpc::CoordinatorMessage> Next();
  // The next message, which must be of this kind; kDataLoss otherwise.
  template <typename Kind>
  base::Result<Kind> Expect(const std::string& what) {
    CLOISTER_ASSIGN_OR_RETURN(rpc::CoordinatorMessage message, Next());
    if (auto* kind = std::get_if<Kind>(&message)) return std::move(*kind);
    return base::Fail(base::Code::kDataLoss,
                      "the coordinator sent another message where " + what + " was due");
  }
  // Waits for the job's good end.
  base::Status ExpectEnd();

  // What ended the job early, if anything did so far.
  std::optional<base::Error> ended() const;
  // Waits for the stream's end, so that a goodbye arrives before the stream is broken off.
  void WaitForEnd(std::chrono::milliseconds patience);

 private:
  void Read();
  void ReadAll();
  base::Result<rpc::CoordinatorMessage> Pop();

  rpc::SiteStream& stream_;
  std::function<void()> ended_;
  mutable std::mutex mutex_;
  std::condition_variable filled_;
  std::condition_variable room_;
  std::deque<rpc::CoordinatorMessage> messages_;
  std::optional<base::Error> error_;  // after the last message
  bool closed_ = false;
  bool finished_ = false;
  std::thread reader_;
};

}  // namespace cloister::federation::site
