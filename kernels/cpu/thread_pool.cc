#include "kernels/cpu/thread_pool.h"

#include <algorithm>

namespace cloister::kernels::cpu {
namespace {

// About 20 microseconds: longer than the gap between two loops of a layer, shorter than what a
// sleeping machine would notice.
constexpr int kSpins = 2000;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Returns when `value` differs from `old`.
template <typename T>
void WaitForChange(const std::atomic<T>& value, T old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    Pause();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; ++i) {
    workers_.emplace_back([this, i](const std::stop_token& stop) { Work(i, stop); });
  }
}

ThreadPool::~ThreadPool() {
  for (std::jthread& worker : workers_) worker.request_stop();
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
}

// Whether there is a loop to help with; then it waits for this thread until Leave.
bool ThreadPool::Enter() {
  std::uint32_t gate = gate_.load(std::memory_order_relaxed);
  while ((gate & kOpen) != 0) {
    if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel,
                                    std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

void ThreadPool::Leave() {
  if (gate_.fetch_sub(1, std::memory_order_acq_rel) == 1) gate_.notify_one();
}

void ThreadPool::Work(int thread, const std::stop_token& stop) {
  for (std::uint32_t seen = 0; !stop.stop_requested();) {
    WaitForChange(round_, seen);
    seen = round_.load(std::memory_order_acquire);
    if (!Enter()) continue;
    TakeRanges(thread);
    Leave();
  }
}

void ThreadPool::TakeRanges(int thread) {
  while (true) {
    const std::int64_t begin = next_.fetch_add(grain_, std::memory_order_relaxed);
    if (begin >= count_) return;
    (*task_)(thread, begin, std::min(begin + grain_, count_));
  }
}

void ThreadPool::Run(std::int64_t count, std::int64_t grain, const Task& task) {
  if (count <= 0) return;
  if (workers_.empty() || count <= grain) {
    task(0, 0, count);
    return;
  }
  task_ = &task;
  count_ = count;
  grain_ = std::max<std::int64_t>(grain, 1);
  next_.store(0, std::memory_order_relaxed);
  gate_.store(kOpen, std::memory_order_release);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  TakeRanges(0);
  std::uint32_t inside = gate_.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
  while (inside != 0) {
    WaitForChange(gate_, inside);
    inside = gate_.load(std::memory_order_acquire);
  }
}

}  // namespace cloister::kernels::cpu
