#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cloister::model {

using TokenId = std::int32_t;

// Text to ids and back. Immutable, thread-safe.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  struct EncodeOptions {
    bool parse_special = false;  // read special tokens written out in the text
    bool add_bos = false;        // put the model's BOS first
  };
  // `text` is taken byte for byte; bytes that are no UTF-8 are encoded too, never dropped.
  virtual std::vector<TokenId> Encode(std::string_view text, EncodeOptions options) const = 0;
  // Special tokens are written out. Ids out of range are kOutOfRange.
  virtual base::Result<std::string> Decode(std::span<const TokenId> ids) const = 0;

  virtual std::int64_t vocab_size() const = 0;
  virtual std::optional<TokenId> bos() const = 0;
  virtual std::vector<TokenId> end_of_generation() const = 0;  // EOS and the template's turn end
  virtual bool adds_bos() const = 0;                           // whether the model adds its BOS
  virtual std::optional<TokenId> Find(std::string_view token) const = 0;  // exact piece
};

}  // namespace cloister::model
