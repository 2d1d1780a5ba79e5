#pragma once

#include "base/result.h"
#include "model/gguf_file.h"
#include "model/tokenizer/tokenizer_data.h"

namespace cloister::model {

// The tokenizer.ggml.* keys of a byte-level BPE vocabulary (tokenizer.ggml.model gpt2).
// `end_ids` is left empty. kNotFound without tokens, kUnimplemented for another kind of vocabulary
// or an unknown tokenizer.ggml.pre, kDataLoss for malformed keys.
base::Result<TokenizerData> TokenizerDataFromGguf(const GgufFile& file);

}  // namespace cloister::model
