#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/file.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/named_pre_tokenizers.h"
#include "model/tokenizer/tokenizer_json.h"

namespace cloister::fixtures {

// A copy of the model with a tokenizer of one token a character, ids 0 to 127, that starts texts
// with 128, and with a chat template unless it is empty.
inline std::string WithAsciiTokenizer(const std::filesystem::path& model,
                                      const std::filesystem::path& copy,
                                      const std::string& chat_template) {
  std::filesystem::copy(model, copy);
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
  EXPECT_TRUE(base::WriteFile(copy / "tokenizer.json", model::TokenizerJson(data)->dump()));
  EXPECT_TRUE(base::WriteFile(copy / "tokenizer_config.json",
                              model::TokenizerConfigJson(data, chat_template).dump()));
  return copy.string();
}

}  // namespace cloister::fixtures
