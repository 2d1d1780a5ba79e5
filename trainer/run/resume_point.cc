#include "trainer/run/resume_point.h"

#include <array>
#include <span>

namespace cloister::trainer {

base::Result<ResumePoint> ShareResumePoint(Ranks& ranks, const CheckpointHeader* header) {
  std::array<std::int64_t, 3> told{};
  if (header != nullptr) told = {header->step, header->evaluated, header->moved ? 1 : 0};
  CLOISTER_RETURN_IF_ERROR(ranks.Broadcast(std::as_writable_bytes(std::span(told))));
  return ResumePoint{told[0], told[1], told[2] != 0};
}

}  // namespace cloister::trainer
