#pragma once

#include "model/tokenizer/tokenizer_data.h"

namespace cloister::testing {

// A SentencePiece vocabulary: <unk>, <s>, </s>, 256 bytes, then from id 259 pieces with falling
// scores: ▁a, ab, ▁ab, ▁▁, ▁, a, b, é.
model::TokenizerData TinySentencePiece();

}  // namespace cloister::testing
