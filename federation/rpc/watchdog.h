#pragma once

#include <grpcpp/server_context.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

namespace cloister::federation::rpc {

// Breaks off calls that outstay their time, whatever their own threads are blocked in. Thread-safe.
class Watchdog {
 public:
  Watchdog();
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // The call is cancelled at `deadline` unless it is released first or given a new deadline.
  void Guard(grpc::ServerContext& context, std::chrono::steady_clock::time_point deadline);
  // Must be called before a guarded call's context goes.
  void Release(grpc::ServerContext& context);

 private:
  using Deadlines = std::map<grpc::ServerContext*, std::chrono::steady_clock::time_point>;
  void Watch(const std::stop_token& stop);

  std::mutex mutex_;
  std::condition_variable_any changed_;
  Deadlines deadlines_;
  std::jthread thread_;  // last: ends before what it uses
};

}  // namespace cloister::federation::rpc
