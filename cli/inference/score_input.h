#pragma once

#include <filesystem>
#include <vector>

#include "base/result.h"
#include "model/architecture.h"
#include "model/model_files.h"
#include "model/tokenizer.h"

namespace cloister::cli {

// The sequences of a JSONL file: a line is {"ids": [1, 2, …]}, used as given, or {"text": "…"},
// with the model's own BOS rule and special tokens read. Blank lines are passed over.
// Every line is checked before anything is returned. kDataLoss with "file:line: what" for a line
// that is no such object, an id outside the vocabulary, an empty sequence or one longer than the
// model's positions. A model without a tokenizer is an error only where a line has text.
base::Result<std::vector<std::vector<model::TokenId>>> ReadSequences(
    const std::filesystem::path& path, const model::ModelFiles& files,
    const model::Architecture& architecture);

}  // namespace cloister::cli
