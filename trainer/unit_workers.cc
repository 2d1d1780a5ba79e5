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
#include "trainer/guarded.h"

namespace cloister::trainer {
namespace {

using Passes = std::vector<std::vector<std::size_t>>;  // examples of each

Passes PassesOf(const UnitExamples& unit) { return AnsweredMicroBatches(unit, kUnitPassTokens); }

std::int64_t TokensOfLargest(const UnitExamples& unit, const Passes& passes) {
  std::int64_t most = 0;
  for (const std::vector<std::size_t>& chosen : passes) {
    std::int64_t longest = 0;
    for (const std::size_t i : chosen) longest = std::max(longest, unit[i].tokens());
    most = std::max(most, longest * std::ssize(chosen));
  }
  return most;
}

// Numbers of the units, the longest first.
std::vector<std::size_t> LongestFirst(std::span<const UnitExamples> units) {
  std::vector<std::int64_t> tokens;
  for (const UnitExamples& unit : units) tokens.push_back(TokensOf(unit));
  std::vector<std::size_t> order(units.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return tokens[a] > tokens[b]; });
  return order;
}

// Units are handed out longest first, so that the threads end at about the same time.
class UnitQueue {
 public:
  UnitQueue(std::span<const UnitExamples> units, const WorkProgress& progress,
            const UnitLanes* lanes)
      : progress_(progress), losses_(units.size()) {
    if (lanes == nullptr) {
      orders_ = {LongestFirst(units)};
    } else {
      orders_ = lanes->units;
    }
    next_.resize(orders_.size());
  }

  // A unit that nobody has taken yet, of the lane's where units are dealt out, unless the work has
  // ended.
  std::optional<std::size_t> Take(std::size_t lane) {
    const std::lock_guard lock(mutex_);
    if (ended_ || next_[lane] == orders_[lane].size()) return std::nullopt;
    return orders_[lane][next_[lane]++];
  }

  // Of a pass over so many examples; false when the work is to end.
  bool Done(std::size_t unit, double losses, std::size_t examples) {
    const std::lock_guard lock(mutex_);
    losses_[unit] += losses;
    examples_ += static_cast<std::int64_t>(examples);
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

  // What ended the work before its end.
  base::Status Ended() const {
    const std::lock_guard lock(mutex_);
    if (!thrown_) return status_;
    return Guarded("clipping gradients",
                   [this]() -> base::Status { std::rethrow_exception(thrown_); });
  }

  // After all threads have ended.
  base::Result<double> MeanLoss() const {
    if (thrown_) std::rethrow_exception(thrown_);
    if (!status_) return tl::unexpected(status_.error());
    if (examples_ == 0) return std::numeric_limits<double>::quiet_NaN();
    return std::accumulate(losses_.begin(), losses_.end(), 0.0) / static_cast<double>(examples_);
  }

 private:
  const WorkProgress& progress_;
  std::vector<std::vector<std::size_t>> orders_;  // one for all, or each lane's
  mutable std::mutex mutex_;
  std::vector<std::size_t> next_;  // of each order
  std::vector<double> losses_;     // of each unit, so that their sum has one order
  std::int64_t examples_ = 0;
  bool ended_ = false;
  base::Status status_;
  std::exception_ptr thrown_;
};

// Returns whether the work goes on.
base::Result<bool> AddUnit(const UnitExamples& unit, std::size_t number, MemoryGate* gate,
                           const ObservedLoss& loss, UnitQueue& queue,
                           dp::clipping::UnitClipper& clipper) {
  const Passes passes = PassesOf(unit);
  std::optional<MemoryGatePass> pass;
  if (gate != nullptr) pass.emplace(*gate, TokensOfLargest(unit, passes));
  bool observed = false;
  for (const std::vector<std::size_t>& chosen : passes) {
    if (std::exchange(observed, true)) clipper.EndPart();
    const at::Tensor losses = loss(unit, chosen, clipper);
    torch::autograd::backward({losses.sum()}, {});
    if (!queue.Done(number, losses.sum(at::kDouble).item<double>(), chosen.size())) return false;
  }
  if (observed) CLOISTER_RETURN_IF_ERROR(clipper.EndUnit());
  return true;
}

// Of one thread: until there is no unit left for it.
base::Status AddFrom(UnitQueue& queue, std::size_t lane, std::span<const UnitExamples> units,
                     MemoryGate* gate, const ObservedLoss& loss, dp::clipping::BookKeeping& sum) {
  dp::clipping::UnitClipper clipper(sum);
  while (const auto number = queue.Take(lane)) {
    CLOISTER_ASSIGN_OR_RETURN(const bool on,
                              AddUnit(units[*number], *number, gate, loss, queue, clipper));
    if (!on) break;
  }
  return {};
}

// The same; what stops it stops the others.
void Work(UnitQueue& queue, std::size_t lane, std::span<const UnitExamples> units, MemoryGate* gate,
          const ObservedLoss& loss, dp::clipping::BookKeeping& sum) {
  try {
    base::Status status = AddFrom(queue, lane, units, gate, loss, sum);
    if (!status) queue.Fail(std::move(status));
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

std::int64_t PassTokens(const UnitExamples& unit) { return TokensOfLargest(unit, PassesOf(unit)); }

base::Result<double> AddUnits(std::span<const UnitExamples> units, std::int64_t threads,
                              MemoryGate& gate, const ObservedLoss& loss,
                              const WorkProgress& progress, dp::clipping::BookKeeping& sum,
                              const UnitLanes* lanes) {
  UnitQueue queue(units, progress, lanes);
  const OneThread alone;
  std::vector<std::thread> workers;
  const auto count = lanes == nullptr ? std::min(threads, static_cast<std::int64_t>(units.size()))
                                      : static_cast<std::int64_t>(lanes->units.size());
  MemoryGate* const asked = lanes == nullptr || count == 1 ? &gate : nullptr;
  const auto work = [&](std::size_t lane) {
    Work(queue, lanes == nullptr ? 0 : lane, units, asked, loss, sum);
    if (lanes != nullptr) lanes->leave(queue.Ended());
  };
  std::int64_t started = 1;
  try {
    for (; started < count; ++started) {
      workers.emplace_back([&, lane = static_cast<std::size_t>(started)] {
        at::set_num_threads(1);  // OpenMP's count is each thread's own
        work(lane);
      });
    }
  } catch (const std::system_error&) {
    // The system gives no more threads: those that there are do the work, but no lane another's.
    for (; lanes != nullptr && started < count; ++started) {
      const base::Status none = base::Fail(
          base::Code::kInternal, "the system gives no more threads: lower training.threads");
      queue.Fail(none);
      lanes->leave(none);
    }
  }
  if (count > 0) work(0);
  for (std::thread& worker : workers) worker.join();
  return queue.MeanLoss();
}

UnitLanes DealUnits(std::span<const UnitExamples> units, std::int64_t lanes) {
  UnitLanes dealt;
  std::vector<std::int64_t> passes;  // of each lane
  std::vector<std::size_t> order = LongestFirst(units);
  std::vector<std::int64_t> passes_of;  // each unit
  for (const UnitExamples& unit : units) passes_of.push_back(std::ssize(PassesOf(unit)));
  const auto in_parts = [&](std::size_t number) { return passes_of[number] > 1; };
  std::stable_partition(order.begin(), order.end(), in_parts);
  for (const std::size_t number : order) {
    const std::int64_t own = passes_of[number];
    if (own == 0) continue;
    const bool first = in_parts(number) && !passes.empty();
    if (!first && std::ssize(passes) < lanes) {
      dealt.units.emplace_back();
      passes.push_back(0);
    }
    // Whoever has the least so far, and the newest lane where it has none.
    const auto lane = first ? passes.begin() : std::min_element(passes.begin(), passes.end());
    dealt.units[static_cast<std::size_t>(lane - passes.begin())].push_back(number);
    *lane += own;
  }
  for (const std::int64_t one : passes) dealt.passes = std::max(dealt.passes, one);
  return dealt;
}

}  // namespace cloister::trainer
