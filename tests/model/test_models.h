#pragma once

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "model/tokenizer/tokenizer_data.h"

namespace cloister::testing {

inline std::filesystem::path TestData() { return CLOISTER_TEST_DATA; }
inline std::filesystem::path LlamaFolder() { return TestData() / "models" / "llama"; }
inline std::filesystem::path TiedFolder() { return TestData() / "models" / "llama-tied-rope3"; }

// The real model, which ./dev fetches before the tests.
inline std::filesystem::path SmolLm2() {
  const char* folder = std::getenv("CLOISTER_MODEL_DIR");
  return std::filesystem::path(folder != nullptr ? folder : CLOISTER_MODEL_DIR) /
         "SmolLM2-135M-Instruct.Q4_1.gguf";
}

// 256 byte tokens, the merges "a b" -> 256, "ab c" -> 257, "b c" -> 258, and special tokens:
// 259 <s> (BOS), 260 <|im_end|> (EOS), 261 [tool] (always read from text). Text is cut like
// SmolLM's.
model::TokenizerData TinyTokenizer();

// Opens changed copies of a file's bytes and checks that each is opened or gives one error that
// names the file. `bytes`: what a good file holds; `header`: how many of them come before tensors.
void ExpectDamageIsNoticed(const std::string& bytes, std::size_t header,
                           const std::filesystem::path& path,
                           const std::function<bool()>& opens_or_names_the_file);

}  // namespace cloister::testing
