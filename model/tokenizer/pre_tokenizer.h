#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "model/tokenizer/piece_sink.h"

namespace cloister::model {

// What becomes of a pattern's matches, as Hugging Face's tokenizers name it.
enum class SplitBehavior {
  kRemoved,
  kIsolated,            // each match a piece of its own
  kMergedWithPrevious,  // each match ends the piece before it
  kMergedWithNext,      // each match begins the piece behind it
  kContiguous,          // neighbouring matches are one piece
};

struct SplitStep {
  std::string pattern;
  bool regex = true;  // in Oniguruma's syntax; else the text itself
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;  // what lies between the matches takes their place
  bool operator==(const SplitStep&) const = default;
};
struct DigitsStep {
  bool individual = false;
  bool operator==(const DigitsStep&) const = default;
};
// GPT-2's: cuts by its pattern and writes every byte as a letter (byte_alphabet.h).
struct ByteLevelStep {
  bool add_prefix_space = false;
  bool use_regex = true;
  bool operator==(const ByteLevelStep&) const = default;
};
enum class PrependScheme { kAlways, kFirst, kNever };
// Writes spaces as `replacement` and puts one before a text without (kFirst: only where the whole
// input begins), then cuts before each replacement.
struct MetaspaceStep {
  std::string replacement = "\xe2\x96\x81";
  PrependScheme prepend = PrependScheme::kAlways;
  bool split = true;
  bool operator==(const MetaspaceStep&) const = default;
};
struct PunctuationStep {
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool operator==(const PunctuationStep&) const = default;
};
// Words and runs of punctuation; white space is dropped.
struct WhitespaceStep {
  bool operator==(const WhitespaceStep&) const = default;
};
struct WhitespaceSplitStep {
  bool operator==(const WhitespaceSplitStep&) const = default;
};
struct DelimiterStep {
  std::string delimiter;  // one character, dropped
  bool operator==(const DelimiterStep&) const = default;
};
using PreTokenizerStep =
    std::variant<SplitStep, DigitsStep, ByteLevelStep, MetaspaceStep, PunctuationStep,
                 WhitespaceStep, WhitespaceSplitStep, DelimiterStep>;

// Cuts text into the pieces that are merged on their own: each step cuts every piece of the one
// before. Immutable, thread-safe.
class PreTokenizer {
 public:
  // `reads_bytes`: the model can read bytes instead of the letters that a last ByteLevel step
  // writes them as, see byte_level(). kDataLoss or kUnimplemented naming a pattern, as Regex::Make.
  static base::Result<PreTokenizer> Make(const std::vector<PreTokenizerStep>& steps,
                                         bool reads_bytes = true);

  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;
  ~PreTokenizer();

  // Bytes that are no UTF-8 match no pattern: a run of them is a piece of its own. `begins`: the
  // whole input begins with `text`.
  void Cut(std::string_view text, bool begins, PieceSink& sink) const;

  // Whether the model reads the pieces byte by byte, each under its letter's name: it can, and the
  // last step is ByteLevel, whose writing of letters is left out. One in an earlier place writes
  // them.
  bool byte_level() const { return byte_level_; }

  class Step;

 private:
  PreTokenizer();
  std::vector<std::unique_ptr<const Step>> steps_;
  bool byte_level_ = false;
};

}  // namespace cloister::model
