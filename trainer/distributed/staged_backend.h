#pragma once

#include <c10/core/Device.h>

#include <torch/csrc/distributed/c10d/Backend.hpp>

namespace cloister::trainer {

// A backend for tensors on the CPU made of one for tensors on `device`, as NCCL's is: what is sent
// is copied there before, what arrives is copied back when the work is waited for. Of c10d's calls
// those that Ranks makes: broadcast, gather, scatter, _allgather_base, alltoall_base. Its works'
// wait() may be called again after it threw for lack of time; then isCompleted() is false.
c10::intrusive_ptr<c10d::Backend> StageOn(const c10::Device& device,
                                          c10::intrusive_ptr<c10d::Backend> backend);

}  // namespace cloister::trainer
