#pragma once

#include <string>

#include "base/result.h"
#include "model/tensor.h"

namespace cloister::model {

// Whether every weight is a finite number. Reads all of the tensor at the speed of memory: floats
// themselves, of blocks the scales and minimums alone, which make every weight of theirs finite.
bool AllFinite(const TensorView& tensor);

// kDataLoss, naming the tensor, when it is not.
base::Status CheckFinite(const std::string& name, const TensorView& tensor);

// The same for values that are about to become a tensor of `type`: kDataLoss also for a value that
// is too large for it.
base::Status CheckRange(const std::string& name, DataType type, std::span<const float> values);

}  // namespace cloister::model
