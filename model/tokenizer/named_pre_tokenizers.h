#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer/pre_tokenizer.h"

namespace cloister::model {

// How a byte-level BPE vocabulary cuts text, under the name that GGUF gives it in
// tokenizer.ggml.pre. The patterns are those of the models' own tokenizer.json.
struct NamedPreTokenizer {
  std::string name;
  std::vector<PreTokenizerStep> steps;
  bool ignore_merges = false;
  bool adds_bos = false;  // unless the file says otherwise
};

// Null when there is none.
const NamedPreTokenizer* FindPreTokenizer(std::string_view name);
// The one that cuts the same way.
const NamedPreTokenizer* FindPreTokenizer(const std::vector<PreTokenizerStep>& steps,
                                          bool ignore_merges);
std::vector<std::string> PreTokenizerNames();

}  // namespace cloister::model
