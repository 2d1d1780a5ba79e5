#pragma once

#include <cstdint>
#include <functional>

#include "base/result.h"

namespace cloister::trainer {

// Told during long work how many examples are done; false ends it with StoppedWork().
using WorkProgress = std::function<bool(std::int64_t examples)>;

inline tl::unexpected<base::Error> StoppedWork() {
  return base::Fail(base::Code::kCancelled, "stopped: start again");
}

}  // namespace cloister::trainer
