#pragma once

#include <csignal>

namespace cloister::cli {

// SIGINT and SIGTERM as something to be asked for, so that long work ends where it leaves nothing
// half-made. From its making to the end of the process both are blocked in this thread and in those
// that it starts: make it before any other thread. A signal that the process was started to ignore
// stays ignored. Not thread-safe.
class StopSignals {
 public:
  StopSignals();
  // Whether one has arrived.
  bool Requested();

 private:
  sigset_t signals_;
  bool requested_ = false;
};

}  // namespace cloister::cli
