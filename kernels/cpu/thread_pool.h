#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace cloister::kernels::cpu {

// Threads that share loops. Workers wait a little in a spin, because a model's layers follow each
// other within microseconds, and then sleep. A worker that is late to a loop, as on a machine with
// other work, is not waited for: the others do its share. One thread at a time may call Run.
class ThreadPool {
 public:
  // `threads` counts the caller of Run: threads - 1 workers are started. At least 1.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // task(thread, begin, end), thread in [0, threads()), over disjoint ranges of at most `grain`
  // items that cover [0, count); returns when all are done. Ranges go to whichever thread is free.
  // `task` must not throw and must not call Run.
  using Task = std::function<void(int thread, std::int64_t begin, std::int64_t end)>;
  void Run(std::int64_t count, std::int64_t grain, const Task& task);

 private:
  void Work(int thread, const std::stop_token& stop);
  void TakeRanges(int thread);

  static constexpr std::uint32_t kOpen = 1u << 31;
  bool Enter();
  void Leave();

  // Written by Run while the gate is shut and nobody is inside, read by those inside.
  const Task* task_ = nullptr;
  std::int64_t count_ = 0;
  std::int64_t grain_ = 1;
  std::atomic<std::int64_t> next_{0};
  std::atomic<std::uint32_t> gate_{0};   // kOpen while a loop runs, plus the workers inside
  std::atomic<std::uint32_t> round_{0};  // rises with each loop
  std::vector<std::jthread> workers_;
};

}  // namespace cloister::kernels::cpu
