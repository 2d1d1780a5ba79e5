#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/tokenizer/merge_rules.h"
#include "model/tokenizer/piece_cache.h"
#include "model/tokenizer/tokenizer_data.h"
#include "model/tokenizer/vocabulary.h"

namespace cloister::model {

// Turns a piece of text into tokens (Sennrich et al. 2016): its characters, or its bytes, are the
// first symbols, and neighbours are merged by rules or by scores. Thread-safe.
class BpeModel {
 public:
  // Memory that one caller lends to many calls.
  struct Scratch {
    struct Symbol {  // of the merging by scores
      TokenId id = 0;
      std::uint32_t begin = 0;
      std::uint32_t end = 0;
    };
    std::vector<TokenId> ids;
    std::vector<Symbol> symbols;
  };

  // `data`, checked, must outlive the model. `byte_level`: pieces are read byte by byte.
  BpeModel(const TokenizerData& data, bool byte_level);
  // kDataLoss for a merge that names pieces which the vocabulary lacks, or a score that is no
  // number. To be called once, before Encode.
  base::Status Build();

  // Appends the tokens of `piece`.
  void Encode(std::string_view piece, std::vector<TokenId>& ids, Scratch& scratch) const;
  TokenId Find(std::string_view piece) const { return vocabulary_.Find(piece); }

 private:
  base::Status BuildMerges();
  base::Status BuildScores();
  void BuildBytes();
  bool CanCutBeforeMarks() const;

  void EncodeWord(std::string_view word, std::vector<TokenId>& ids, Scratch& scratch) const;
  void EncodeAnew(std::string_view word, std::vector<TokenId>& ids, Scratch& scratch) const;
  void BytesToSymbols(std::string_view word, std::vector<TokenId>& symbols) const;
  void CharactersToSymbols(std::string_view word, std::vector<TokenId>& symbols) const;
  void EncodeByScores(std::string_view word, std::vector<TokenId>& ids, Scratch& scratch) const;
  void AppendFallback(std::string_view character, std::vector<TokenId>& ids) const;

  const TokenizerData& data_;
  bool byte_level_;
  Vocabulary vocabulary_;  // of what merges make
  MergeRules merges_;
  std::vector<MergeRule> by_score_;      // by id: the rule that makes it
  std::array<TokenId, 256> bytes_ = {};  // tokens of single bytes; kAbsent without
  std::array<TokenId, 128> ascii_ = {};  // tokens of single ASCII characters
  bool replaceable_ = false;             // U+FFFD can be written
  bool cuts_before_marks_ = false;
  mutable PieceCache cache_;
};

}  // namespace cloister::model
