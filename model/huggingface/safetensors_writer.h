#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "model/tensor_sink.h"

namespace cloister::model {

// A new *.safetensors file. F32, F16 and BF16 only (a CHECK: callers choose the types). Where the
// tensors have more than `max_bytes` (0: no limit) there are several files instead: for
// m.safetensors, m-00001-of-00003.safetensors and so on, and m.safetensors.index.json, which says
// where each tensor is. kInvalidArgument when that takes too many files.
base::Result<std::unique_ptr<TensorSink>> NewSafetensors(const std::filesystem::path& path,
                                                         std::vector<TensorSpec> tensors,
                                                         std::uint64_t max_bytes = 0);

}  // namespace cloister::model
