#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cloister::model {

// How a byte-level BPE vocabulary cuts text, under the name that GGUF gives it in
// tokenizer.ggml.pre.
struct PreTokenizer {
  std::string name;
  std::vector<std::string> patterns;
  bool ignore_merges = false;
  bool adds_bos = false;  // unless the file says otherwise
};

std::optional<PreTokenizer> FindPreTokenizer(std::string_view name);
// The one that cuts the same way, if GGUF has a name for it.
std::optional<PreTokenizer> FindPreTokenizer(const std::vector<std::string>& patterns,
                                             bool ignore_merges);

// The pattern that Hugging Face's ByteLevel pre-tokenizer has built in (GPT-2's).
const std::string& ByteLevelPattern();
// One decimal digit or other number character at a time: Hugging Face's Digits.
const std::string& SingleDigitPattern();

}  // namespace cloister::model
