#pragma once

#include <cstdint>
#include <functional>

namespace cloister::base {

// work(i) for each i below `count`, on all processors, the caller's thread among them, or on as
// many as the system gives threads for; returns when all are done. `work` must not throw. For work
// of milliseconds: threads are started and ended.
void InParallel(std::int64_t count, const std::function<void(std::int64_t)>& work);

}  // namespace cloister::base
