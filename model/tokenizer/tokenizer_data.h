#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/tokenizer.h"
#include "model/tokenizer/decoder.h"
#include "model/tokenizer/normalizer.h"
#include "model/tokenizer/pre_tokenizer.h"

namespace cloister::model {

enum class TokenKind {
  kNormal,       // made by merges
  kByte,         // <0x41>: a byte of a character that has no token
  kControl,      // special: stands in text where special tokens are read
  kUserDefined,  // always stands in text
  kUnused,       // never made from text; a number without a token has an empty piece
};

// How a control or user-defined token is found in text, beyond its content.
struct AddedTokenRules {
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and behind it
  bool single_word = false;  // only where no character of a word stands beside it
  bool normalized = false;   // sought, normalized, in text that is normalized
  bool merged = false;       // the model makes it by merges as well
  bool operator==(const AddedTokenRules&) const = default;
};

// A merge rule: `piece` is made of its first `left` bytes and of the others.
struct Merge {
  std::string piece;
  std::uint32_t left = 0;
  bool operator==(const Merge&) const = default;
};

// Everything that defines a BPE tokenizer, whatever file it came from.
struct TokenizerData {
  std::vector<std::string> pieces;           // by id
  std::vector<TokenKind> kinds;              // by id
  std::map<TokenId, AddedTokenRules> rules;  // of added tokens that have some
  // Merge rules, the most urgent first; or, without any, scores by id as SentencePiece has them:
  // any two neighbours become the piece that they spell, the one of highest score first.
  std::vector<Merge> merges;
  std::vector<float> scores;
  bool ignore_merges = false;  // a cut piece that is a token needs no merges (Llama 3)
  bool byte_fallback = false;  // characters without a token become kByte tokens
  bool fuses_unknown = false;  // neighbouring unknown characters become one token
  std::optional<TokenId> unknown_character;  // what a character without a token becomes

  std::vector<NormalizerStep> normalizer;
  std::vector<PreTokenizerStep> pre_tokenizer;
  std::vector<DecoderStep> decoder;
  // Added tokens are written as they are, and are no matter of the decoder's. (GGUF; Hugging Face's
  // decoders treat them as any token.)
  bool added_verbatim = false;

  std::optional<TokenId> bos;
  std::optional<TokenId> eos;
  std::optional<TokenId> unknown;
  std::optional<TokenId> padding;
  bool adds_bos = false;
  bool adds_eos = false;
  std::vector<TokenId> end_ids;  // end of generation
  std::string name;              // what kind of tokenizer it is, for people: "byte-level BPE"

  bool IsAdded(std::size_t id) const {
    return kinds[id] == TokenKind::kControl || kinds[id] == TokenKind::kUserDefined;
  }
};

// The steps of text written as SentencePiece does: ▁ for a space and, with `prefix`, before a text.
std::vector<NormalizerStep> SentencePieceNormalizer(bool prefix);
// And back. Byte tokens become characters; one space of the prefix is taken away.
std::vector<DecoderStep> SentencePieceDecoder(bool prefix);

// Checks ids, sizes and merges once and builds the tables. kDataLoss naming the field.
base::Result<std::shared_ptr<const Tokenizer>> MakeTokenizer(TokenizerData data);

// Control tokens that `chat_template` ends a turn with (<|im_end|>, <|eot_id|>, …), by id.
std::vector<TokenId> TurnEnds(const TokenizerData& data, const std::string& chat_template);

}  // namespace cloister::model
