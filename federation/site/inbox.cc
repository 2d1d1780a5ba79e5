#include "federation/site/inbox.h"

#include <utility>

namespace cloister::federation::site {
namespace {

constexpr std::size_t kMostPending = 64;

// A refusal is a refusal only of a job that this site has not seen: once it has, the coordinator's
// code must not pass for this site's own veto.
base::Error ErrorOf(const rpc::End& end, bool offered) {
  if (end.code == base::Code::kPermissionDenied && !offered) {
    return {end.code, "the coordinator refuses this site: " + end.message};
  }
  const std::string reason = end.code == base::Code::kOk ? "without a result" : end.message;
  return {base::Code::kUnavailable, "the coordinator ended the job: " + reason};
}

}  // namespace

Inbox::Inbox(rpc::SiteStream& stream, std::function<void()> ended, std::chrono::seconds patience)
    : stream_(stream), ended_(std::move(ended)), patience_(patience), reader_([this] { Read(); }) {}

Inbox::~Inbox() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    room_.notify_all();
  }
  stream_.Cancel();
  reader_.join();
}

void Inbox::Read() {
  ReadAll();
  const std::lock_guard lock(mutex_);
  finished_ = true;
  filled_.notify_all();
}

void Inbox::WaitForEnd(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  filled_.wait_for(lock, patience, [&] { return finished_; });
}

void Inbox::ReadAll() {
  for (;;) {
    auto message = stream_.Receive();
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return closed_ || !message || messages_.size() < kMostPending; });
    if (closed_) return;
    const rpc::End* end = message ? std::get_if<rpc::End>(&*message) : nullptr;
    if (!message) {
      error_ = message.error();
    } else if (end != nullptr && end->code != base::Code::kOk) {
      error_ = ErrorOf(*end, offered_);
    } else {
      offered_ = offered_ || std::holds_alternative<job::SignedJob>(*message);
      messages_.push_back(std::move(*message));
    }
    filled_.notify_all();
    if (!error_) {
      if (end != nullptr) return;
      continue;
    }
    lock.unlock();
    ended_();
    return;
  }
}

base::Result<rpc::CoordinatorMessage> Inbox::Pop(const std::string& what, std::int64_t seconds) {
  std::unique_lock lock(mutex_);
  const auto filled = [&] { return error_ || !messages_.empty(); };
  if (seconds == kForever) {
    filled_.wait(lock, filled);
  } else if (!filled_.wait_for(lock, std::chrono::seconds(seconds) + patience_, filled)) {
    return base::Fail(base::Code::kDeadlineExceeded,
                      "nothing came from the coordinator for " +
                          std::to_string(seconds + patience_.count()) + " s, awaited: " + what +
                          ": this site left the job; ask the coordinator's operator");
  }
  if (messages_.empty()) return tl::unexpected<base::Error>(*error_);
  rpc::CoordinatorMessage message = std::move(messages_.front());
  messages_.pop_front();
  room_.notify_all();
  return message;
}

base::Result<rpc::CoordinatorMessage> Inbox::Next(const std::string& what, std::int64_t seconds) {
  CLOISTER_ASSIGN_OR_RETURN(rpc::CoordinatorMessage message, Pop(what, seconds));
  if (const auto* end = std::get_if<rpc::End>(&message)) {
    return tl::unexpected<base::Error>(ErrorOf(*end, true));
  }
  return message;
}

base::Status Inbox::ExpectEnd(std::int64_t seconds) {
  CLOISTER_ASSIGN_OR_RETURN(const rpc::CoordinatorMessage message, Pop("the job's end", seconds));
  if (std::holds_alternative<rpc::End>(message)) return {};
  return base::Fail(base::Code::kDataLoss, "the coordinator sent a message after the results");
}

std::optional<base::Error> Inbox::ended() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

}  // namespace cloister::federation::site
