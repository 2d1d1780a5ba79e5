#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>

#include "federation/rpc/client.h"

namespace cloister::federation::site {

// Breaks the stream off unless it is destroyed in time: sending blocks for as long as a coordinator
// does not read.
class CutOff {
 public:
  CutOff(rpc::SiteStream& stream, std::chrono::milliseconds patience)
      : thread_([this, &stream, patience](const std::stop_token& done) {
          std::unique_lock lock(mutex_);
          wake_.wait_for(lock, done, patience, [] { return false; });
          if (!done.stop_requested()) stream.Cancel();
        }) {}
  CutOff(const CutOff&) = delete;
  CutOff& operator=(const CutOff&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;  // last: ends before what it uses
};

}  // namespace cloister::federation::site
