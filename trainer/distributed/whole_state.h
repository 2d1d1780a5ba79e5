#pragma once

#include <functional>

#include "base/result.h"
#include "trainer/distributed/ranks.h"
#include "trainer/optimisation/optimizer.h"

namespace cloister::trainer {

// What a checkpoint keeps, as a rank has it.
struct RankState {
  // A part each, of which the whole is all ranks', one behind the other in their order.
  StateArrays parts;
  // The same on all.
  StateArrays shared;
};

// By all ranks together, with a state of the same names on each.

// Calls `use`, on the first rank alone, with the whole; its error is its rank's.
base::Status WithWhole(Ranks& ranks, const RankState& state,
                       const std::function<base::Status(const StateArrays& whole)>& use);
// Calls `change`, on the first rank alone, with the whole; what it leaves there is all ranks', and
// so is its error.
base::Status ChangeWhole(Ranks& ranks, const RankState& state,
                         const std::function<base::Status(const StateArrays& whole)>& change);

}  // namespace cloister::trainer
