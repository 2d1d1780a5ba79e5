#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/tokenizer.h"

namespace cloister::model {

enum class TokenKind {
  kNormal,       // made by merges; written in the GPT-2 byte alphabet (model/byte_alphabet.h)
  kControl,      // read from text only when special tokens are parsed; written as it is
  kUserDefined,  // always read from text; written as it is
  kUnused,       // never made from text
};

// Everything that defines a byte-level BPE tokenizer, whatever file it came from.
struct TokenizerData {
  std::vector<std::string> pieces;  // by id
  std::vector<TokenKind> kinds;     // by id
  std::vector<std::string> merges;  // "left right", the earliest first
  // Text is cut by each pattern in turn; both matches and what lies between are pieces.
  std::vector<std::string> split_patterns;
  bool normalize_nfc = false;
  bool ignore_merges = false;  // a cut piece that is a token needs no merges (Llama 3)
  std::optional<TokenId> bos;
  std::optional<TokenId> eos;
  std::optional<TokenId> unknown;
  std::optional<TokenId> padding;
  bool adds_bos = false;
  std::vector<TokenId> end_ids;  // end of generation
};

// Checks ids, sizes and merges once and builds the tables. kDataLoss naming the field.
base::Result<std::shared_ptr<const Tokenizer>> MakeTokenizer(TokenizerData data);

// Control tokens that `chat_template` ends a turn with (<|im_end|>, <|eot_id|>, …), by id.
std::vector<TokenId> TurnEnds(const TokenizerData& data, const std::string& chat_template);

}  // namespace cloister::model
