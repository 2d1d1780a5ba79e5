#pragma once

#include <stop_token>
#include <thread>

namespace cloister::cli {

// Turns SIGINT and SIGTERM into a stop request for as long as it lives. Made before any other
// thread, so that these inherit the blocked signals.
class StopOnSignal {
 public:
  StopOnSignal();
  ~StopOnSignal();
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;

  std::stop_token token() const { return source_.get_token(); }

 private:
  std::stop_source source_;
  std::jthread waiter_;
};

}  // namespace cloister::cli
