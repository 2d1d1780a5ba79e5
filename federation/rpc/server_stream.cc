#include "federation/rpc/server_stream.h"

#include <chrono>
#include <thread>
#include <utility>

#include "federation/rpc/convert.h"

namespace cloister::federation::rpc {
namespace {

// What may wait for a site that does not read: the largest adapter (2^26 values) and some messages.
constexpr std::size_t kMostWaiting = std::size_t{320} << 20;
// How long a site may take to hang up after it was told the end.
constexpr std::chrono::seconds kHangUp{2};
// Until then it must have read what is in line: so long, and a second more for every so many bytes.
constexpr std::chrono::seconds kDrain{5};
constexpr std::size_t kSlowest = std::size_t{256} << 10;

}  // namespace

void ServerStream::Run(EventQueue& events) {
  std::thread writer([this] { Write(); });
  v1::SiteMessage wire;
  while (wire_.Read(&wire)) {
    received_ += wire.ByteSizeLong();
    {
      const std::lock_guard lock(mutex_);
      if (closing_) continue;
    }
    auto message = FromWire(wire);
    if (!message) {
      Close({message.error().code, message.error().message});
      continue;
    }
    if (!events.Push(Received{id_, std::move(*message)})) break;
  }
  {
    const std::lock_guard lock(mutex_);
    gone_ = true;
    waiting_.notify_all();
  }
  writer.join();
  watchdog_.Release(context_);
  events.Push(Lost{id_});
}

void ServerStream::Write() {
  std::unique_lock lock(mutex_);
  for (;;) {
    waiting_.wait(lock, [&] { return gone_ || closing_ || !outgoing_.empty(); });
    if (gone_) return;
    if (outgoing_.empty()) break;  // closing, and everything is sent
    const v1::CoordinatorMessage message = std::move(outgoing_.front());
    outgoing_.pop_front();
    const std::size_t size = message.ByteSizeLong();
    lock.unlock();
    const bool written = wire_.Write(message);
    lock.lock();
    outgoing_bytes_ -= size;
    if (!written) return;
    sent_ += size;
  }
  // The site ends the stream after the last message; one that does not is cut off.
  if (!waiting_.wait_for(lock, kHangUp, [&] { return gone_; })) context_.TryCancel();
}

void ServerStream::Send(const CoordinatorMessage& message) {
  v1::CoordinatorMessage wire = ToWire(message);
  const std::size_t size = wire.ByteSizeLong();
  const std::lock_guard lock(mutex_);
  if (closing_ || gone_) return;
  if (outgoing_bytes_ + size > kMostWaiting) {
    context_.TryCancel();
    return;
  }
  outgoing_bytes_ += size;
  outgoing_.push_back(std::move(wire));
  waiting_.notify_all();
}

void ServerStream::DropWaiting() {
  const std::lock_guard lock(mutex_);
  if (closing_) return;
  for (const v1::CoordinatorMessage& message : outgoing_) outgoing_bytes_ -= message.ByteSizeLong();
  outgoing_.clear();
}

void ServerStream::Close(const End& end) {
  if (end.code != base::Code::kOk) DropWaiting();
  Send(end);
  const std::lock_guard lock(mutex_);
  // A call that is over must not be guarded: nobody would release it.
  if (closing_ || gone_) return;
  closing_ = true;
  watchdog_.Guard(context_, std::chrono::steady_clock::now() + kDrain +
                                std::chrono::seconds(outgoing_bytes_ / kSlowest));
  waiting_.notify_all();
}

}  // namespace cloister::federation::rpc
