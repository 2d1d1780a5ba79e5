#include "trainer/unit_workers.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <mutex>
#include <numeric>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "dp/clipping/unit_clipper.h"

namespace cloister::trainer {
namespace {

// Examples come one after the other: the longest says how much memory is held at most.
std::int64_t LongestTokens(const UnitExamples& unit) {
  std::int64_t tokens = 0;
  for (const Example& example : unit) tokens = std::max(tokens, example.tokens());
  return tokens;
}

// Units are handed out longest first, so that the threads end at about the same time.
class UnitQueue {
 public:
  UnitQueue(std::span<const UnitExamples> units, const WorkProgress& progress)
      : units_(units), progress_(progress), order_(units.size()), losses_(units.size()) {
    std::vector<std::int64_t> tokens;
    for (const UnitExamples& unit : units) tokens.push_back(TokensOf(unit));
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::stable_sort(order_.begin(), order_.end(),
                     [&](std::size_t a, std::size_t b) { return tokens[a] > tokens[b]; });
  }

  // A unit that nobody has taken yet, unless the work has ended.
  std::optional<std::size_t> Take() {
    const std::lock_guard lock(mutex_);
    if (ended_ || next_ == order_.size()) return std::nullopt;
    return order_[next_++];
  }

  // False when the work is to end.
  bool Done(std::size_t unit, double loss) {
    const std::lock_guard lock(mutex_);
    losses_[unit] += loss;
    ++examples_;
    if (!ended_ && progress_ && !progress_(examples_)) {
      ended_ = true;
      status_ = StoppedWork();
    }
    return !ended_;
  }

  void Fail(base::Status status) {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(ended_, true)) status_ = std::move(status);
  }
  void Fail(std::exception_ptr thrown) {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(ended_, true)) thrown_ = std::move(thrown);
  }

  // After all threads have ended.
  base::Result<double> MeanLoss() const {
    if (thrown_) std::rethrow_exception(thrown_);
    if (!status_) return tl::unexpected(status_.error());
    if (examples_ == 0) return std::numeric_limits<double>::quiet_NaN();
    return std::accumulate(losses_.begin(), losses_.end(), 0.0) / static_cast<double>(examples_);
  }

 private:
  std::span<const UnitExamples> units_;
  const WorkProgress& progress_;
  std::vector<std::size_t> order_;
  std::mutex mutex_;
  std::size_t next_ = 0;
  std::vector<double> losses_;  // of each unit, so that their sum has one order
  std::int64_t examples_ = 0;
  bool ended_ = false;
  base::Status status_;
  std::exception_ptr thrown_;
};

// Returns whether the work goes on.
base::Result<bool> AddUnit(const UnitExamples& unit, std::size_t number, MemoryGate& gate,
                           const ObservedLoss& loss, UnitQueue& queue,
                           dp::clipping::UnitClipper& clipper) {
  const MemoryGatePass pass(gate, LongestTokens(unit));
  bool observed = false;
  for (const Example& example : unit) {
    if (example.answer_tokens() == 0) continue;
    if (std::exchange(observed, true)) clipper.EndPart();
    const at::Tensor value = loss(example, clipper);
    torch::autograd::backward({value}, {});
    if (!queue.Done(number, value.item<double>())) return false;
  }
  if (observed) CLOISTER_RETURN_IF_ERROR(clipper.EndUnit());
  return true;
}

void Work(std::span<const UnitExamples> units, MemoryGate& gate, const ObservedLoss& loss,
          UnitQueue& queue, dp::clipping::BookKeeping& sum) {
  try {
    dp::clipping::UnitClipper clipper(sum);
    while (const auto number = queue.Take()) {
      const base::Result<bool> on = AddUnit(units[*number], *number, gate, loss, queue, clipper);
      if (!on) return queue.Fail(tl::unexpected(on.error()));
      if (!*on) return;
    }
  } catch (...) {
    queue.Fail(std::current_exception());
  }
}

// LibTorch's operators run on one thread from here on, and on as many as before at the end.
class OneThread {
 public:
  OneThread() : before_(at::get_num_threads()) { at::set_num_threads(1); }
  ~OneThread() { at::set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

}  // namespace

base::Result<double> AddUnits(std::span<const UnitExamples> units, std::int64_t threads,
                              MemoryGate& gate, const ObservedLoss& loss,
                              const WorkProgress& progress, dp::clipping::BookKeeping& sum) {
  UnitQueue queue(units, progress);
  const OneThread alone;
  std::vector<std::thread> workers;
  const auto count = std::min(threads, static_cast<std::int64_t>(units.size()));
  try {
    for (std::int64_t i = 1; i < count; ++i) {
      workers.emplace_back([&] {
        at::set_num_threads(1);  // OpenMP's count is each thread's own
        Work(units, gate, loss, queue, sum);
      });
    }
  } catch (const std::system_error&) {
    // The system gives no more threads: those that there are do the work.
  }
  Work(units, gate, loss, queue, sum);
  for (std::thread& worker : workers) worker.join();
  return queue.MeanLoss();
}

}  // namespace cloister::trainer
