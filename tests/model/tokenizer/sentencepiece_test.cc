#include <gtest/gtest.h>

#include <bit>
#include <cstring>

#include "base/file.h"
#include "model/tokenizer/sentencepiece_file.h"
#include "model/tokenizer/tokenizer_json.h"
#include "tests/base/temporary_folder.h"
#include "tests/model/tokenizer/tiny_tokenizers.h"

namespace cloister::model {
namespace {

using Ids = std::vector<TokenId>;

std::string Varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}
std::string Number(std::uint64_t field, std::uint64_t value) {
  return Varint(field << 3) + Varint(value);
}
std::string Bytes(std::uint64_t field, const std::string& content) {
  return Varint(field << 3 | 2) + Varint(content.size()) + content;
}
std::string Float(std::uint64_t field, float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  std::string bytes(4, '\0');
  std::memcpy(bytes.data(), &bits, 4);
  return Varint(field << 3 | 5) + bytes;
}

std::uint64_t TypeOf(const TokenizerData& data, std::size_t id) {
  if (id == 0) return 2;
  if (data.kinds[id] == TokenKind::kControl) return 3;
  return data.kinds[id] == TokenKind::kByte ? 6 : 1;
}

// The tiny vocabulary as a ModelProto. `trainer` and `normalizer` are added to their messages.
std::string Model(const std::string& trainer = "", const std::string& normalizer = "") {
  const TokenizerData data = testing::TinySentencePiece();
  std::string model;
  for (std::size_t id = 0; id < data.pieces.size(); ++id) {
    model += Bytes(
        1, Bytes(1, data.pieces[id]) + Float(2, data.scores[id]) + Number(3, TypeOf(data, id)));
  }
  model += Bytes(2, Number(3, 2) + Number(35, 1) + trainer);
  return model + Bytes(3, Bytes(1, "identity") + Number(4, 0) + normalizer);
}

TEST(SentencePiece, ReadsAModelWithItsScoresAndIds) {
  const auto data = TokenizerDataFromSentencePiece(Model());
  ASSERT_TRUE(data) << data.error().message;
  const TokenizerData expected = testing::TinySentencePiece();
  EXPECT_EQ(data->pieces, expected.pieces);
  EXPECT_EQ(data->kinds, expected.kinds);
  EXPECT_EQ(data->scores, expected.scores);
  EXPECT_EQ(data->normalizer, expected.normalizer);
  EXPECT_EQ(data->bos, 1);
  EXPECT_EQ(data->unknown_character, 0);
  EXPECT_TRUE(data->adds_bos);
  const auto no_prefix = TokenizerDataFromSentencePiece(Model("", Number(3, 0)));
  EXPECT_EQ((*MakeTokenizer(*no_prefix))->Encode("a", {}),
            Ids({*(*MakeTokenizer(expected))->Find("a")}));
}

TEST(SentencePiece, AFolderWithItAloneWillDo) {
  testing::TemporaryFolder folder;
  ASSERT_TRUE(base::WriteFile(folder / "tokenizer.model", Model()));
  ASSERT_TRUE(base::WriteFile(folder / "tokenizer_config.json",
                              R"({"add_bos_token": false, "bos_token": "<s>",
          "added_tokens_decoder": {"267": {"content": "[tool]", "special": true}}})"));
  const auto data = TokenizerDataFromFolder(folder.path());
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_FALSE(data->adds_bos);
  const auto tokenizer = MakeTokenizer(*data);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ((*tokenizer)->Encode("ab[tool]", {.parse_special = true}), Ids({261, 267}));
}

TEST(SentencePiece, NamesWhatIsNotSupported) {
  const std::pair<std::string, std::string> changed[] = {
      {Model(Number(3, 1)), "Unigram"},
      {Model(Number(24, 1)), "behind words"},
      {Model("", Bytes(2, "table")), "table"},
      {Model("", Number(4, 1)), "repeated spaces"},
  };
  for (const auto& [model, word] : changed) {
    const auto data = TokenizerDataFromSentencePiece(model);
    ASSERT_FALSE(data);
    EXPECT_EQ(data.error().code, base::Code::kUnimplemented);
    EXPECT_NE(data.error().message.find(word), std::string::npos) << data.error().message;
  }
}

// Reads, and uses what was read: the sanitizers watch.
void Try(std::string_view bytes) {
  const auto data = TokenizerDataFromSentencePiece(bytes);
  if (!data) return;
  const auto made = MakeTokenizer(*data);
  if (made) (void)(*made)->Encode("ab é z", {});
}

TEST(SentencePiece, DamageIsOneErrorOrAVocabulary) {
  const std::string good = Model();
  for (std::size_t size = 0; size < good.size(); size += size < 300 ? 1 : 13) {
    Try(std::string_view(good).substr(0, size));
  }
  for (std::size_t at = 0; at < good.size(); at += 7) {
    for (const char flip : {'\x01', '\x40', '\x7f'}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ flip);
      Try(bad);
    }
  }
  EXPECT_FALSE(TokenizerDataFromSentencePiece(""));
  EXPECT_FALSE(TokenizerDataFromSentencePiece("\x0a\xff\xff\xff\xff\x7f"));
}

}  // namespace
}  // namespace cloister::model
