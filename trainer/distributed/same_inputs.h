#pragma once

#include "base/result.h"
#include "trainer/checkpoint/input_digest.h"
#include "trainer/distributed/ranks.h"
#include "trainer/recipe/recipe.h"

namespace cloister::trainer {

// By all ranks together: kFailedPrecondition, naming a rank, unless all have one recipe but for
// paths and threads, one model and the same files of records. Otherwise they would train something
// else; and the shards of units could overlap, which the sensitivity does not allow. What this
// rank knows already, of the same recipe's model and file, it does not read again.
base::Status CheckSameInputs(Ranks& ranks, const Recipe& recipe, const KnownDigests& known);

}  // namespace cloister::trainer
