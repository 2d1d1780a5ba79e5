#include "base/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>
#include <vector>

namespace cloister::base {
namespace {

constexpr unsigned kMaxThreads = 64;

}  // namespace

void InParallel(std::int64_t count, const std::function<void(std::int64_t)>& work) {
  std::atomic<std::int64_t> next = 0;
  const auto run = [&] {
    for (std::int64_t i = next++; i < count; i = next++) work(i);
  };
  const unsigned processors = std::clamp(std::thread::hardware_concurrency(), 1u, kMaxThreads);
  std::vector<std::jthread> helpers;
  try {
    for (std::int64_t i = 1; i < std::min<std::int64_t>(processors, count); ++i) {
      helpers.emplace_back(run);
    }
  } catch (const std::exception&) {
    // The system gives no more threads: those that there are do the work.
  }
  run();
}

}  // namespace cloister::base
