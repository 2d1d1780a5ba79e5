#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/privacy/commands.h"

namespace cloister::cli {

// The value of --steps.
struct StepCount {
  std::int64_t value = 0;
};

// Adds --noise-multiplier, --sampling-rate and --steps, which tell equal releases; for
// Boost.Program_options a text that is no whole number is an error that says so.
enum class Flag { kOptional, kRequired };
void AddNoiseFlag(Flags& flags, Flag kind);
void AddRateFlag(Flags& flags, Flag kind);
void AddStepsFlag(Flags& flags, Flag kind);
void validate(boost::any& value, const std::vector<std::string>& words, StepCount*, int);

// `error` of accountants with the flag that was given in place of the field that they name.
// `epsilon_flag` is the one that an ε was given by.
base::Error NamingFlags(base::Error error, const std::string& epsilon_flag);

}  // namespace cloister::cli
