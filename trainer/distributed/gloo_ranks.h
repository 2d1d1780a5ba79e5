#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "trainer/distributed/meeting_place.h"
#include "trainer/distributed/placement.h"
#include "trainer/distributed/ranks.h"

namespace cloister::trainer {

// One process of a run of several, joined by PyTorch's c10d: a TCPStore to meet at, and for the
// numbers Gloo, or NCCL where `device`, as OpenDevice() takes it, is a GPU. Returns when all ranks
// have come; a run of one process for a placement of size 1. Errors as MeetingPlace::Open and
// MakeBackend.
base::Result<std::unique_ptr<Ranks>> ConnectRanks(const Placement& place,
                                                  const Patience& patience = {},
                                                  const std::string& device = "cpu");

}  // namespace cloister::trainer
