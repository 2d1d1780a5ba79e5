#pragma once

#include <barrier>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "dp/mechanism/rank_link.h"

namespace cloister::dp {

// Ranks as threads of one process, for what does not need more.
class ThreadLink final : public RankLink {
 public:
  struct Shared {
    explicit Shared(std::int64_t size)
        : all(static_cast<std::size_t>(size)), barrier(static_cast<std::ptrdiff_t>(size)) {}
    std::vector<std::vector<std::int64_t>> all;
    std::barrier<> barrier;
  };
  ThreadLink(std::int64_t rank, std::shared_ptr<Shared> shared)
      : rank_(rank), shared_(std::move(shared)) {}

  std::int64_t rank() const override { return rank_; }
  std::int64_t size() const override { return static_cast<std::int64_t>(shared_->all.size()); }

  base::Result<std::vector<std::int64_t>> GatherAll(std::span<const std::int64_t> own) override {
    Show(own);
    std::vector<std::int64_t> gathered;
    for (const auto& one : shared_->all) gathered.insert(gathered.end(), one.begin(), one.end());
    shared_->barrier.arrive_and_wait();
    return gathered;
  }
  base::Status SumToFirst(std::span<std::int64_t> values) override {
    Show(values);
    for (std::size_t i = 0; first() && i < values.size(); ++i) {
      values[i] = 0;
      for (const auto& one : shared_->all) values[i] += one[i];
    }
    shared_->barrier.arrive_and_wait();
    return {};
  }

 private:
  void Show(std::span<const std::int64_t> own) {
    shared_->all[static_cast<std::size_t>(rank_)].assign(own.begin(), own.end());
    shared_->barrier.arrive_and_wait();
  }

  std::int64_t rank_;
  std::shared_ptr<Shared> shared_;
};

// Runs `body` once on each of `size` ranks at a time.
inline void OnThreads(std::int64_t size, const std::function<void(ThreadLink&)>& body) {
  const auto shared = std::make_shared<ThreadLink::Shared>(size);
  std::vector<std::thread> threads;
  for (std::int64_t rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      ThreadLink link(rank, shared);
      body(link);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace cloister::dp
