#pragma once

#include <string_view>

#include "base/result.h"
#include "model/tokenizer/tokenizer_data.h"

namespace cloister::model {

// The content of a tokenizer.model: SentencePiece's ModelProto (google/sentencepiece,
// src/sentencepiece_model.proto) of a BPE vocabulary whose normalizer changes nothing but spaces,
// as Llama 2 and Mistral have it. kUnimplemented naming what is not supported (Unigram, a
// normalization table, …), kDataLoss for bytes that are no such message.
base::Result<TokenizerData> TokenizerDataFromSentencePiece(std::string_view bytes);

}  // namespace cloister::model
