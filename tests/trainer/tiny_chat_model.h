#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>

#include "base/file.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/named_pre_tokenizers.h"
#include "model/tokenizer/tokenizer_json.h"

namespace cloister::trainer {

// A model that chats and trains in milliseconds: the llama of tests/data with a tokenizer of one
// token a character, ids 0 to 127, and a template of brackets. It has two layers and says nonsense.
inline void WriteTinyChatModel(const std::filesystem::path& folder) {
  std::filesystem::copy(std::filesystem::path(CLOISTER_TEST_DATA) / "models" / "llama", folder);
  model::TokenizerData data;
  for (int byte = 0; byte < 128; ++byte) {
    data.pieces.push_back(model::ByteToPiece(static_cast<std::uint8_t>(byte)));
  }
  data.pieces.emplace_back("<s>");
  data.kinds.assign(data.pieces.size(), model::TokenKind::kNormal);
  data.kinds.back() = model::TokenKind::kControl;
  data.pre_tokenizer = model::FindPreTokenizer("smollm")->steps;
  data.decoder = {model::ByteLevelDecoding{}};
  data.bos = data.unknown = 128;
  data.adds_bos = true;
  const std::string chat =
      "{% for m in messages %}<{{ m['role'] }}:{{ m['content'] }}>{% endfor %}"
      "{% if add_generation_prompt %}<assistant:{% endif %}";
  EXPECT_TRUE(base::WriteFile(folder / "tokenizer.json", model::TokenizerJson(data)->dump()));
  EXPECT_TRUE(base::WriteFile(folder / "tokenizer_config.json",
                              model::TokenizerConfigJson(data, chat).dump()));
}

}  // namespace cloister::trainer
