#include "cli/train/arrival_watch.h"

#include <unistd.h>

#include <chrono>
#include <iostream>
#include <string>

#include "base/log.h"

namespace cloister::cli {

using std::chrono::milliseconds;

ArrivalWatch::ArrivalWatch(const trainer::Placement& place, StopSignals& signals) {
  if (place.size == 1) return;
  const std::string where = "rank " + std::to_string(place.rank) + " of " +
                            std::to_string(place.size) + ", at " + place.host + " port " +
                            std::to_string(place.port);
  thread_ = std::thread([this, where, &signals] { Watch(where, signals); });
}

ArrivalWatch::~ArrivalWatch() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void ArrivalWatch::Watch(const std::string& where, StopSignals& signals) {
  constexpr int kLooksBeforeTold = 10;
  std::unique_lock lock(mutex_);
  for (int looks = 1; !changed_.wait_for(lock, milliseconds(100), [this] { return over_; });
       ++looks) {
    if (looks == kLooksBeforeTold) base::LogInfo("waiting for the other ranks: " + where);
    if (!signals.Requested()) continue;
    std::cerr << "error: stopped by a signal while waiting for the other ranks, " << where
              << ": nothing was begun\n";
    std::cerr.flush();
    ::_exit(1);
  }
}

}  // namespace cloister::cli
