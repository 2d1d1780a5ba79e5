#pragma once

// Inside dp/ledger/ only: what a job that is refused is told.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "dp/ledger/ledger.h"

namespace cloister::dp {

// What of a plan fits beside `spent`, by bracketing against the filter itself: each answer passes
// it, and never lies a hair above the budget.
struct Fit {
  double epsilon_left = 0;                 // budget less what is used up, rounded down; 0 or more
  std::int64_t steps = 0;                  // the most of the plan's steps, its noise unchanged
  std::optional<double> noise_multiplier;  // the least for all steps, rounded up to four digits;
                                           // nothing where none up to 1e9 is enough
};

// `fixed`: the filter's orders, empty before a first spend.
Fit WhatFits(std::span<const Event> spent, const Event& planned, std::span<const double> fixed,
             const PrivacyBudget& budget);

// The filter's orders, with that for a first spend, when `planned` passes beside `spent`;
// kResourceExhausted otherwise, with how much is left and what would fit.
base::Result<std::vector<double>> CheckBeside(std::span<const Event> spent, const Event& planned,
                                              std::span<const double> fixed,
                                              const PrivacyBudget& budget);

}  // namespace cloister::dp
