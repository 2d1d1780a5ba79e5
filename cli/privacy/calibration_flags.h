#pragma once

#include "cli/privacy/commands.h"
#include "dp/accounting/calibration.h"

namespace cloister::cli {

// What `privacy noise` and `privacy steps` are both told: --epsilon and --delta to keep, in which
// accountant's figures, under which relation.
void AddGoalFlags(Flags& flags);

// kInvalidArgument for a name that is no accountant or relation.
base::Result<dp::PrivacyGoal> GoalOf(const boost::program_options::variables_map& values);

}  // namespace cloister::cli
