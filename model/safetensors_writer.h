#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "model/tensor_sink.h"

namespace cloister::model {

// A new *.safetensors file. F32, F16 and BF16 only (a CHECK: callers choose the types).
base::Result<std::unique_ptr<TensorSink>> NewSafetensors(const std::filesystem::path& path,
                                                         std::vector<TensorSpec> tensors);

}  // namespace cloister::model
