#pragma once

#include <cstdint>

#include "base/result.h"
#include "trainer/checkpoint/checkpoint_file.h"
#include "trainer/distributed/ranks.h"

namespace cloister::trainer {

// What every rank must know of the checkpoint that the run goes on from.
struct ResumePoint {
  std::int64_t step = 0;
  std::int64_t evaluated = -1;  // as CheckpointHeader
  bool moved = false;
};

// By all ranks together: of `header`, which the first rank has.
base::Result<ResumePoint> ShareResumePoint(Ranks& ranks, const CheckpointHeader* header);

}  // namespace cloister::trainer
