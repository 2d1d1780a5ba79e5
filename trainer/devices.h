#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>

#include "base/result.h"

namespace cloister::trainer {

// Where passes are to be computed: "cpu", or an NVIDIA GPU, "cuda:N" from 0, or "cuda", which of
// several ranks on a machine gives each the next. LibTorch's CUDA half is opened by the first call
// that names a GPU, so that one build serves machines with and without. kInvalidArgument for a name
// that LibTorch does not know; kFailedPrecondition, saying what is missing, where there is no such
// GPU, or not the libraries it wants. Thread-safe.
base::Result<c10::Device> OpenDevice(const std::string& name, std::int64_t local_rank = 0);

}  // namespace cloister::trainer
