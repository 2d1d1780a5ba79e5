#pragma once

#include "base/result.h"
#include "model/tokenizer/tokenizer_data.h"

namespace cloister::model {

// Whether lists are as long as they say, ids within the vocabulary and texts of bounded length.
// kDataLoss naming what is not.
base::Status CheckData(const TokenizerData& data);

}  // namespace cloister::model
