#include "cli/train/stop_signals.h"

#include <pthread.h>

#include <ctime>
#include <initializer_list>

namespace cloister::cli {

StopSignals::StopSignals() {
  ::sigemptyset(&signals_);
  for (const int signal : {SIGINT, SIGTERM}) {
    struct sigaction action {};
    if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) continue;
    ::sigaddset(&signals_, signal);
  }
  ::pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
}

bool StopSignals::Requested() {
  const timespec now{};
  if (!requested_) requested_ = ::sigtimedwait(&signals_, nullptr, &now) > 0;
  return requested_;
}

}  // namespace cloister::cli
