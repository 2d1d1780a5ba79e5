#include "model/tokenizer/tokenizer_json.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/base/temporary_folder.h"
#include "tests/model/test_models.h"

namespace cloister::model {
namespace {

using base::Code;
using nlohmann::json;
using Ids = std::vector<TokenId>;
using testing::TemporaryFolder;
using testing::TinyTokenizer;

TEST(TokenizerJson, ReadsBackWhatItWrites) {
  TemporaryFolder folder;
  TokenizerData data = TinyTokenizer();
  data.normalizer = {UnicodeForm::kNfc};
  data.rules[261].lstrip = true;
  data.adds_bos = true;
  ASSERT_TRUE(base::WriteFile(folder / "tokenizer.json", TokenizerJson(data)->dump()));
  ASSERT_TRUE(
      base::WriteFile(folder / "tokenizer_config.json", TokenizerConfigJson(data, "x").dump()));
  const auto back = TokenizerDataFromFolder(folder.path());
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->pieces, data.pieces);
  EXPECT_EQ(back->kinds, data.kinds);
  EXPECT_EQ(back->merges, data.merges);
  EXPECT_EQ(back->rules, data.rules);
  EXPECT_EQ(back->normalizer, data.normalizer);
  EXPECT_EQ(back->pre_tokenizer, data.pre_tokenizer);
  EXPECT_EQ(back->decoder, data.decoder);
  EXPECT_EQ(back->bos, data.bos);
  EXPECT_TRUE(back->adds_bos);
  // U+0065 U+0301 is composed before it is cut.
  EXPECT_EQ((*MakeTokenizer(*back))->Encode("e\xcc\x81", {}), Ids({0xc3, 0xa9}));
}

TEST(TokenizerJson, NamesPartsThatAreNotSupported) {
  const auto good = json(*TokenizerJson(TinyTokenizer()));
  ASSERT_TRUE(TokenizerDataFromJson(good, json::object()));
  const std::vector<std::pair<std::string, json>> changes = {
      {"Nmt", {{"normalizer", {{"type", "Nmt"}}}}},
      {"Precompiled", {{"normalizer", {{"type", "Precompiled"}}}}},
      {"UnicodeScripts", {{"pre_tokenizer", {{"type", "UnicodeScripts"}}}}},
      {"WordPiece", {{"decoder", {{"type", "WordPiece"}}}}},
      {"Unigram", {{"model", {{"type", "Unigram"}}}}},
      {"end_of_word_suffix", {{"model", {{"end_of_word_suffix", "</w>"}}}}},
      {"dropout", {{"model", {{"dropout", 0.1}}}}},
      {"Sideways",
       {{"pre_tokenizer",
         {{"type", "Split"}, {"pattern", {{"String", "x"}}}, {"behavior", "Sideways"}}}}},
      {"Mystery", {{"post_processor", {{"type", "Mystery"}}}}},
  };
  for (const auto& [word, change] : changes) {
    json changed = good;
    changed.merge_patch(change);
    const auto data = TokenizerDataFromJson(changed, json::object());
    ASSERT_FALSE(data) << word;
    EXPECT_EQ(data.error().code, Code::kUnimplemented) << word;
    EXPECT_NE(data.error().message.find(word), std::string::npos) << data.error().message;
  }
}

TEST(TokenizerJson, RefusesWhatContradictsItself) {
  const auto good = json(*TokenizerJson(TinyTokenizer()));
  const std::vector<std::pair<std::string, json>> changes = {
      {"far too large", {{"model", {{"vocab", {{"huge", 4000000000U}}}}}}},
      {"far too large", {{"model", {{"vocab", {{"negative", -1}}}}}}},
      {"far too large", {{"model", {{"vocab", {{"text", "7"}}}}}}},
      {"same id", {{"model", {{"vocab", {{"other", 97}}}}}}},
      {"pairs of pieces", {{"model", {{"merges", {"nospace"}}}}}},
      {"pairs of pieces", {{"model", {{"merges", {{"a", "b", "c"}}}}}}},
      {"must be a list", {{"model", {{"merges", "a b"}}}}},
      {"unk_token", {{"model", {{"unk_token", "absent"}}}}},
      {"added_tokens", {{"added_tokens", "none"}}},
      {"content and id", {{"added_tokens", json::array({{{"content", "x"}}})}}},
      {"no pattern", {{"pre_tokenizer", {{"type", "Split"}, {"behavior", "Isolated"}}}}},
      {"one character", {{"pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "ab"}}}}},
      {"no list", {{"normalizer", {{"type", "Sequence"}}}}},
  };
  for (const auto& [word, change] : changes) {
    json changed = good;
    changed.merge_patch(change);
    const auto data = TokenizerDataFromJson(changed, json::object());
    ASSERT_FALSE(data) << word;
    EXPECT_EQ(data.error().code, Code::kDataLoss) << word;
    EXPECT_NE(data.error().message.find(word), std::string::npos) << data.error().message;
  }
  json nested = {{"type", "NFC"}};
  for (int i = 0; i < 100; ++i) nested = {{"type", "Sequence"}, {"normalizers", {nested}}};
  json deep = good;
  deep["normalizer"] = nested;
  EXPECT_FALSE(TokenizerDataFromJson(deep, json::object()));
}

TEST(TokenizerJson, AFolderWithoutATokenizerSaysWhatToPutThere) {
  TemporaryFolder folder;
  const auto data = TokenizerDataFromFolder(folder.path());
  ASSERT_FALSE(data);
  EXPECT_EQ(data.error().code, Code::kNotFound);
  EXPECT_NE(data.error().message.find("tokenizer.json"), std::string::npos);
}

}  // namespace
}  // namespace cloister::model
