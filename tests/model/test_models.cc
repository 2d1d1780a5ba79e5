#include "tests/model/test_models.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/named_pre_tokenizers.h"
#include "tests/base/temporary_folder.h"

namespace cloister::testing {

namespace {

void PutByte(const std::filesystem::path& path, std::size_t at, char byte) {
  std::fstream stream(path, std::ios::binary | std::ios::in | std::ios::out);
  stream.seekp(static_cast<std::streamoff>(at));
  stream.put(byte);
}

}  // namespace

model::TokenizerData TinyTokenizer() {
  model::TokenizerData data;
  for (int byte = 0; byte < 256; ++byte) {
    data.pieces.push_back(model::ByteToPiece(static_cast<std::uint8_t>(byte)));
  }
  for (const char* piece : {"ab", "abc", "bc"}) data.pieces.emplace_back(piece);
  data.kinds.assign(data.pieces.size(), model::TokenKind::kNormal);
  for (const char* piece : {"<s>", "<|im_end|>"}) {
    data.pieces.emplace_back(piece);
    data.kinds.push_back(model::TokenKind::kControl);
  }
  data.pieces.emplace_back("[tool]");
  data.kinds.push_back(model::TokenKind::kUserDefined);
  data.merges = {{"ab", 1}, {"abc", 2}, {"bc", 1}};
  data.pre_tokenizer = model::FindPreTokenizer("smollm")->steps;
  data.decoder = {model::ByteLevelDecoding{}};
  data.bos = 259;
  data.eos = 260;
  data.end_ids = {260};
  return data;
}

void ExpectDamageIsNoticed(const std::string& bytes, std::size_t header,
                           const std::filesystem::path& path,
                           const std::function<bool()>& opens_or_names_the_file) {
  ASSERT_LT(header, bytes.size());
  WriteBytes(path, bytes);
  ASSERT_TRUE(opens_or_names_the_file());
  const std::size_t step = std::max<std::size_t>(1, header / 400);
  for (std::size_t at = 0; at < header; at += at < 256 ? 1 : step) {
    for (const unsigned char change : {0x01, 0x80, 0xff}) {
      const auto changed = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ change);
      PutByte(path, at, changed);
      EXPECT_TRUE(opens_or_names_the_file()) << "byte " << at << " changed by " << int{change};
    }
    PutByte(path, at, bytes[at]);
  }
  for (std::size_t size = header; size > 0; size -= size <= 256 ? 1 : step) {
    std::filesystem::resize_file(path, size);
    EXPECT_TRUE(opens_or_names_the_file()) << "cut off at " << size;
  }
}

}  // namespace cloister::testing
