#pragma once

#include <memory>

#include "base/result.h"
#include "model/model_files.h"

namespace cloister::model {

// Reads every tensor of the model that this build can read, on all processors: kDataLoss, naming
// the first one by name that holds a value that is not finite. As long as reading the file takes.
base::Status CheckWeights(const ModelFiles& files);

}  // namespace cloister::model
