#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "model/tokenizer/normalizer.h"

namespace cloister::model {

// The steps that turn tokens into text, as Hugging Face's tokenizers name them.
struct ByteLevelDecoding {  // letters become bytes (byte_alphabet.h), all tokens one text
  bool operator==(const ByteLevelDecoding&) const = default;
};
struct ByteFallbackDecoding {  // <0x41> becomes a byte; a run of them that is no UTF-8, U+FFFD each
  bool operator==(const ByteFallbackDecoding&) const = default;
};
struct FuseDecoding {  // all tokens become one
  bool operator==(const FuseDecoding&) const = default;
};
struct StripDecoding {        // takes up to so many `content` from a token's ends
  std::string content = " ";  // one character
  std::size_t start = 0;
  std::size_t stop = 0;
  bool operator==(const StripDecoding&) const = default;
};
struct MetaspaceDecoding {  // `replacement` becomes a space, or nothing in the first token
  std::string replacement = "\xe2\x96\x81";
  bool strips_first = true;
  bool operator==(const MetaspaceDecoding&) const = default;
};
// ReplaceStep acts on each token. Without any step tokens are joined by spaces.
using DecoderStep = std::variant<ByteLevelDecoding, ByteFallbackDecoding, FuseDecoding,
                                 StripDecoding, MetaspaceDecoding, ReplaceStep>;

// Turns tokens into text. Immutable, thread-safe.
class Decoder {
 public:
  static base::Result<Decoder> Make(const std::vector<DecoderStep>& steps);

  Decoder(Decoder&&) noexcept;
  Decoder& operator=(Decoder&&) noexcept;
  ~Decoder();

  struct Token {
    std::string_view text;
    bool verbatim = false;  // stands for its text whatever it looks like
  };

  // One text as its tokens come. What Add and Finish return is, joined, the text of all tokens:
  // UTF-8, with U+FFFD for each longest part of what is none. No return ends within a character,
  // and each holds all that later tokens cannot change. Must not outlive the decoder.
  class Stream {
   public:
    explicit Stream(const Decoder& decoder);
    Stream(Stream&&) noexcept;
    Stream& operator=(Stream&&) noexcept;
    ~Stream();
    // Appends to `text`.
    void Add(const Token& token, std::string& text);
    std::string Finish();

   private:
    class State;
    std::unique_ptr<State> state_;
  };

  struct Steps;

 private:
  explicit Decoder(std::unique_ptr<const Steps> steps);
  std::unique_ptr<const Steps> steps_;
};

}  // namespace cloister::model
