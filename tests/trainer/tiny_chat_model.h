#pragma once

#include <filesystem>

#include "tests/model/ascii_tokenizer.h"

namespace cloister::trainer {

// A model that chats and trains in milliseconds: the llama of tests/data with a tokenizer of one
// token a character, ids 0 to 127, and a template of brackets. It has two layers and says nonsense.
inline void WriteTinyChatModel(const std::filesystem::path& folder) {
  fixtures::WithAsciiTokenizer(std::filesystem::path(CLOISTER_TEST_DATA) / "models" / "llama",
                               folder,
                               "{% for m in messages %}<{{ m['role'] }}:{{ m['content'] }}>"
                               "{% endfor %}{% if add_generation_prompt %}<assistant:{% endif %}");
}

}  // namespace cloister::trainer
