#pragma once

#include <cstdint>

#include "base/result.h"
#include "model/gguf/gguf_file.h"
#include "model/gguf/gguf_writer.h"
#include "model/tokenizer/tokenizer_data.h"

namespace cloister::model {

// The tokenizer.ggml.* keys: byte-level BPE (tokenizer.ggml.model gpt2) or SentencePiece BPE with
// scores (llama), read as llama.cpp reads them. A file written here may say more (kSettingsKey).
// `end_ids` holds the ends of a turn and of a message that the file names. kNotFound without
// tokens, kUnimplemented for another kind of vocabulary or an unknown tokenizer.ggml.pre, kDataLoss
// for malformed keys.
base::Result<TokenizerData> TokenizerDataFromGguf(const GgufFile& file);

// Adds the keys with which llama.cpp tokenizes as `data` does, for a network of `vocab_size` rows.
// What GGUF has no words for (a Unicode normalization, SentencePiece's newer rule for the space
// before a text, a decoder's oddities) goes into kSettingsKey, which llama.cpp passes over.
// kUnimplemented when llama.cpp could not tokenize so at all, kDataLoss when there are more tokens
// than rows.
base::Status AddTokenizerToGguf(const TokenizerData& data, std::int64_t vocab_size,
                                GgufMetadata& metadata);

}  // namespace cloister::model
