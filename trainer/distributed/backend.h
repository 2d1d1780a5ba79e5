#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>

#include "base/result.h"
#include "trainer/distributed/meeting_place.h"
#include "trainer/distributed/placement.h"

namespace cloister::trainer {

// Gloo between CPU processes, all of which are at `meeting`. kUnavailable where they cannot connect
// to each other.
base::Result<c10::intrusive_ptr<c10d::Backend>> MakeBackend(const Placement& place,
                                                            const Patience& patience,
                                                            const MeetingPlace& meeting);

}  // namespace cloister::trainer
