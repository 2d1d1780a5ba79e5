#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <stop_token>
#include <utility>

#include "base/result.h"
#include "federation/rpc/server.h"

namespace cloister::federation::rpc {

// From the streams' threads to the coordinator's one. Thread-safe.
class EventQueue {
 public:
  // Messages wait for room; what tells of a stream's beginning and end never does, so that it is
  // never lost. False once the queue is closed.
  bool Push(Event event) {
    std::unique_lock lock(mutex_);
    if (std::holds_alternative<Received>(event)) {
      room_.wait(lock, [&] { return closed_ || events_.size() < kMostPending; });
    }
    if (closed_) return false;
    events_.push_back(std::move(event));
    filled_.notify_one();
    return true;
  }

  base::Result<Event> Pop(std::chrono::steady_clock::time_point deadline, std::stop_token stop) {
    std::unique_lock lock(mutex_);
    filled_.wait_until(lock, stop, deadline, [&] { return !events_.empty(); });
    if (stop.stop_requested()) {
      return base::Fail(base::Code::kCancelled,
                        "the coordinator was stopped by a signal: start it again and submit the "
                        "job under another name");
    }
    // However many are pending: who talks without end must not keep a phase open.
    if (events_.empty() || std::chrono::steady_clock::now() >= deadline)
      return base::Fail(base::Code::kDeadlineExceeded, "nothing came in time");
    Event event = std::move(events_.front());
    events_.pop_front();
    room_.notify_one();
    return event;
  }

  void Close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    room_.notify_all();
  }

 private:
  static constexpr std::size_t kMostPending = 64;

  std::mutex mutex_;
  std::condition_variable_any filled_;
  std::condition_variable room_;
  std::deque<Event> events_;
  bool closed_ = false;
};

}  // namespace cloister::federation::rpc
