#pragma once

#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>

#include "base/result.h"
#include "trainer/distributed/meeting_place.h"
#include "trainer/distributed/placement.h"

namespace cloister::trainer {

// For tensors on the CPU, between processes that are all at `meeting`: Gloo's, or where `device` is
// a GPU, as OpenDevice() takes it, NCCL's by way of that GPU. kUnavailable where they cannot
// connect to each other, as ranks cannot by NCCL that share a GPU; errors of OpenDevice(), and
// kFailedPrecondition where this build has no NCCL or TLS is asked for, which NCCL has not.
base::Result<c10::intrusive_ptr<c10d::Backend>> MakeBackend(const Placement& place,
                                                            const Patience& patience,
                                                            const MeetingPlace& meeting,
                                                            const std::string& device);

}  // namespace cloister::trainer
