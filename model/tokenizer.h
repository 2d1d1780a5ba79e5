#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cloister::model {

using TokenId = std::int32_t;

// The text of tokens that come one at a time. For one caller.
class StreamingDecoder {
 public:
  virtual ~StreamingDecoder() = default;
  // What `id` adds to the text that was returned before: never a part of a character, and
  // everything that no later token can change. kOutOfRange for an id out of range, which counts for
  // nothing.
  virtual base::Result<std::string> Add(TokenId id) = 0;
  // What is left at the end. All returned texts together are Decode's of all ids.
  virtual std::string Finish() = 0;
};

// Text to ids and back. Immutable, thread-safe.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  struct EncodeOptions {
    bool parse_special = false;  // read special tokens written out in the text
    bool add_bos = false;        // put the model's BOS first
  };
  // `text` is taken byte for byte. Bytes that are no UTF-8 are encoded too where the vocabulary has
  // tokens for bytes.
  virtual std::vector<TokenId> Encode(std::string_view text, EncodeOptions options) const = 0;

  // A stretch of a text: a special token, or text without.
  struct Part {
    std::string_view text;
    std::optional<TokenId> special;
  };
  // Cuts `text` where Encode with parse_special reads special tokens.
  virtual std::vector<Part> CutSpecial(std::string_view text) const = 0;
  // Encodes a text of which the caller says what its special tokens are: what is spelled in the
  // text of a part is plain text. EncodeParts(CutSpecial(t)) is Encode(t, {.parse_special = true}).
  virtual std::vector<TokenId> EncodeParts(std::span<const Part> parts) const = 0;

  // UTF-8; what is none becomes U+FFFD. Special tokens are written out. Ids out of range are
  // kOutOfRange, those without a token are nothing.
  virtual base::Result<std::string> Decode(std::span<const TokenId> ids) const = 0;
  // The same in parts, without special tokens when `skip_special`. Must not outlive the tokenizer.
  virtual std::unique_ptr<StreamingDecoder> NewStreamingDecoder(bool skip_special) const = 0;
  // The bytes that a token stands for by itself, as they are. kOutOfRange.
  virtual base::Result<std::string> TokenBytes(TokenId id) const = 0;

  virtual std::int64_t vocab_size() const = 0;
  virtual std::optional<TokenId> bos() const = 0;
  virtual std::vector<TokenId> end_of_generation() const = 0;  // EOS and the template's turn end
  virtual bool adds_bos() const = 0;                           // whether the model adds its BOS
  virtual std::optional<TokenId> Find(std::string_view token) const = 0;  // exact piece
  virtual std::string description() const = 0;  // for people: "byte-level BPE"
};

}  // namespace cloister::model
