#include "federation/rpc/watchdog.h"

namespace cloister::federation::rpc {

Watchdog::Watchdog() : thread_([this](const std::stop_token& stop) { Watch(stop); }) {}

Watchdog::~Watchdog() = default;

void Watchdog::Guard(grpc::ServerContext& context, std::chrono::steady_clock::time_point deadline) {
  const std::lock_guard lock(mutex_);
  deadlines_[&context] = deadline;
}

void Watchdog::Release(grpc::ServerContext& context) {
  const std::lock_guard lock(mutex_);
  deadlines_.erase(&context);
}

void Watchdog::Watch(const std::stop_token& stop) {
  constexpr std::chrono::milliseconds kTick{200};
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    changed_.wait_for(lock, stop, kTick, [] { return false; });
    const auto now = std::chrono::steady_clock::now();
    std::erase_if(deadlines_, [&](const Deadlines::value_type& entry) {
      if (now < entry.second) return false;
      entry.first->TryCancel();
      return true;
    });
  }
}

}  // namespace cloister::federation::rpc
