#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "cli/train/stop_signals.h"
#include "trainer/distributed/placement.h"

namespace cloister::cli {

// While this rank waits for the others, which may take minutes: says so after a second, and ends
// the process (exit code 1) when a signal asks for it, which waiting for a connection would not
// notice. Nothing was begun by then. For a run of several processes; does nothing for one.
class ArrivalWatch {
 public:
  // `signals` must not be asked by anybody else before the destructor.
  ArrivalWatch(const trainer::Placement& place, StopSignals& signals);
  ~ArrivalWatch();

 private:
  void Watch(const std::string& where, StopSignals& signals);

  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace cloister::cli
