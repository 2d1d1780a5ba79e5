#include "federation/site/inbox.h"

#include <utility>

namespace cloister::federation::site {
namespace {

constexpr std::size_t kMostPending = 64;

base::Error ErrorOf(const rpc::End& end) {
  if (end.code == base::Code::kPermissionDenied) {
    return {end.code, "the coordinator refuses this site: " + end.message};
  }
  const std::string reason = end.code == base::Code::kOk ? "without a result" : end.message;
  return {base::Code::kUnavailable, "the coordinator ended the job: " + reason};
}

}  // namespace

Inbox::Inbox(rpc::SiteStream& stream, std::function<void()> ended)
    : stream_(stream), ended_(std::move(ended)), reader_([this] { Read(); }) {}

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
      error_ = ErrorOf(*end);
    } else {
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

base::Result<rpc::CoordinatorMessage> Inbox::Pop() {
  std::unique_lock lock(mutex_);
  filled_.wait(lock, [&] { return error_ || !messages_.empty(); });
  if (messages_.empty()) return tl::unexpected<base::Error>(*error_);
  rpc::CoordinatorMessage message = std::move(messages_.front());
  messages_.pop_front();
  room_.notify_all();
  return message;
}

base::Result<rpc::CoordinatorMessage> Inbox::Next() {
  CLOISTER_ASSIGN_OR_RETURN(rpc::CoordinatorMessage message, Pop());
  if (const auto* end = std::get_if<rpc::End>(&message)) {
    return tl::unexpected<base::Error>(ErrorOf(*end));
  }
  return message;
}

base::Status Inbox::ExpectEnd() {
  CLOISTER_ASSIGN_OR_RETURN(const rpc::CoordinatorMessage message, Pop());
  if (std::holds_alternative<rpc::End>(message)) return {};
  return base::Fail(base::Code::kDataLoss, "the coordinator sent a message after the results");
}

std::optional<base::Error> Inbox::ended() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

}  // namespace cloister::federation::site
