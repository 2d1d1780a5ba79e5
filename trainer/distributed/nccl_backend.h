#pragma once

#include <c10/core/Device.h>

#include <chrono>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace cloister::trainer {

// The one function of a library of its own, which is linked to LibTorch's CUDA half and opened
// where a run is on GPUs (MakeBackend): c10d's NCCL between processes that meet at `store`, each
// with a GPU of its own. Throws c10::Error where they cannot connect within `patience`.
using MakeNcclFunction = c10::intrusive_ptr<c10d::Backend>(
    const c10::intrusive_ptr<c10d::Store>& store, int rank, int size, const c10::Device& device,
    std::chrono::milliseconds patience);
inline constexpr const char* kNcclLibrary = "libcloister_nccl.so";
inline constexpr const char* kMakeNccl = "CloisterMakeNccl";

}  // namespace cloister::trainer
