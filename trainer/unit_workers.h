#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "dp/clipping/book_keeping.h"
#include "dp/clipping/gradient_observer.h"
#include "trainer/data/example.h"
#include "trainer/memory_gate.h"
#include "trainer/work_progress.h"

namespace cloister::trainer {

// The losses of a unit's `chosen` examples, fp32 [chosen], by a graph whose backward pass tells
// `observer` of their sum.
using ObservedLoss =
    std::function<at::Tensor(const UnitExamples& unit, std::span<const std::size_t> chosen,
                             dp::clipping::GradientObserver& observer)>;

// A unit of several examples is worked through in passes of at most so many padded tokens, or of
// one example: which of them share a pass, and its roundings, depends on the unit alone.
inline constexpr std::int64_t kUnitPassTokens = 512;
// Tokens of its largest pass.
std::int64_t PassTokens(const UnitExamples& unit);

// Units dealt out beforehand to lanes whose passes keep step with one another: the passes of each
// lane one after the other, the n-th of all lanes side by side.
struct UnitLanes {
  std::vector<std::vector<std::size_t>> units;  // of each lane, by number; none is empty
  std::int64_t passes = 0;                      // of the longest
  // Told at the end of a lane: what ended the work before its end, what was thrown as an error.
  std::function<void(base::Status)> leave;
};
// To at most so many lanes; units without an answer are nobody's. Those of several passes are all
// the first lane's: they take turns in UnitClipper's buffer, and whoever waited for it would keep
// the lane that has it waiting for its next layer.
UnitLanes DealUnits(std::span<const UnitExamples> units, std::int64_t lanes);

// Adds the gradients of `units` to `sum`: each in passes of its own, on one thread, as many of them
// at a time as there are `threads` and as `gate` lets in. What a unit contributes is, bit
// for bit, a function of the unit and of what `loss` closes over, and `sum` is exact: neither the
// company that a unit is in nor the threads show in the result (docs/design/0005-clipping.md).
// Returns the mean of the examples' losses, NaN for none, which is not covered by ε. `loss` is
// called from several threads at once. Examples without an answer are left out. kCancelled when
// `progress` says so. What LibTorch throws passes through. With `lanes`, DealUnits()'s, a thread is
// a lane's, and all run side by side: `gate` is asked where there is one alone.
base::Result<double> AddUnits(std::span<const UnitExamples> units, std::int64_t threads,
                              MemoryGate& gate, const ObservedLoss& loss,
                              const WorkProgress& progress, dp::clipping::BookKeeping& sum,
                              const UnitLanes* lanes = nullptr);

}  // namespace cloister::trainer
