#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
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
  // `patience` comes on top of every wait's own seconds.
  Inbox(rpc::SiteStream& stream, std::function<void()> ended, std::chrono::seconds patience);
  ~Inbox();  // breaks the stream off
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  static constexpr std::int64_t kForever = -1;  // keep-alive still notices a coordinator that died

  // The next message, which must be of this kind; kDataLoss otherwise. kDeadlineExceeded when it is
  // not there within `seconds` and the patience: what lasts that long, every site has lost. An End
  // comes as an error: kPermissionDenied and what the coordinator says when it refuses this site
  // before it offered a job, otherwise kUnavailable.
  template <typename Kind>
  base::Result<Kind> Expect(const std::string& what, std::int64_t seconds) {
    CLOISTER_ASSIGN_OR_RETURN(rpc::CoordinatorMessage message, Next(what, seconds));
    if (auto* kind = std::get_if<Kind>(&message)) return std::move(*kind);
    return base::Fail(base::Code::kDataLoss,
                      "the coordinator sent another message where " + what + " was due");
  }
  // Waits for the job's good end.
  base::Status ExpectEnd(std::int64_t seconds);

  std::chrono::seconds patience() const { return patience_; }
  // What ended the job early, if anything did so far.
  std::optional<base::Error> ended() const;
  // Waits for the stream's end, so that a goodbye arrives before the stream is broken off.
  void WaitForEnd(std::chrono::milliseconds patience);

 private:
  void Read();
  void ReadAll();
  base::Result<rpc::CoordinatorMessage> Pop(const std::string& what, std::int64_t seconds);
  base::Result<rpc::CoordinatorMessage> Next(const std::string& what, std::int64_t seconds);

  rpc::SiteStream& stream_;
  std::function<void()> ended_;
  const std::chrono::seconds patience_;
  mutable std::mutex mutex_;
  std::condition_variable filled_;
  std::condition_variable room_;
  std::deque<rpc::CoordinatorMessage> messages_;
  std::optional<base::Error> error_;  // after the last message
  bool offered_ = false;              // a job came
  bool closed_ = false;
  bool finished_ = false;
  std::thread reader_;
};

}  // namespace cloister::federation::site
