// Small tokenizers of many kinds against what Hugging Face's library makes of them
// (tests/data/tokenizer/make_cases.py).
#include <gtest/gtest.h>

#include <fstream>

#include "model/tokenizer/tokenizer_json.h"
#include "tests/model/test_models.h"

namespace cloister::model {
namespace {

using nlohmann::json;
using Ids = std::vector<TokenId>;

std::string Streamed(const Tokenizer& tokenizer, const Ids& ids, bool skip_special) {
  const auto decoder = tokenizer.NewStreamingDecoder(skip_special);
  std::string text;
  for (const TokenId id : ids) text += *decoder->Add(id);
  return text + decoder->Finish();
}

std::vector<json> Kinds() {
  std::ifstream stream(testing::TestData() / "tokenizer" / "hugging_face.jsonl");
  std::vector<json> kinds;
  for (std::string line; std::getline(stream, line);) kinds.push_back(json::parse(line));
  return kinds;
}

TEST(HuggingFace, EveryKindOfTokenizerGivesTheSameIdsAndTexts) {
  const std::vector<json> kinds = Kinds();
  ASSERT_GE(kinds.size(), 20U);
  for (const json& kind : kinds) {
    SCOPED_TRACE(kind["name"].get<std::string>());
    const auto data = TokenizerDataFromJson(kind["tokenizer"], json::object());
    ASSERT_TRUE(data) << data.error().message;
    const auto made = MakeTokenizer(*data);
    ASSERT_TRUE(made) << made.error().message;
    const Tokenizer& tokenizer = **made;
    for (const json& one : kind["cases"]) {
      const std::string text = one["text"];
      SCOPED_TRACE(text);
      for (const bool special : {true, false}) {
        const json& expected = one[special ? "special" : "plain"];
        const Ids ids = tokenizer.Encode(text, {.parse_special = special});
        ASSERT_EQ(ids, expected["ids"].get<Ids>()) << (special ? "special" : "plain");
        EXPECT_EQ(*tokenizer.Decode(ids), expected["text"].get<std::string>());
        EXPECT_EQ(Streamed(tokenizer, ids, false), expected["text"].get<std::string>());
        EXPECT_EQ(Streamed(tokenizer, ids, true), expected["skipped"].get<std::string>());
      }
    }
    Ids framed = tokenizer.Encode("x", {.add_bos = tokenizer.adds_bos()});
    if (data->adds_eos) framed.push_back(*data->eos);
    EXPECT_EQ(framed, kind["framed"].get<Ids>());
  }
}

TEST(HuggingFace, WhatIsWrittenTokenizesTheSame) {
  for (const json& kind : Kinds()) {
    SCOPED_TRACE(kind["name"].get<std::string>());
    const auto data = TokenizerDataFromJson(kind["tokenizer"], json::object());
    const auto written = TokenizerJson(*data);
    ASSERT_TRUE(written) << written.error().message;
    const auto back = TokenizerDataFromJson(json::parse(written->dump()),
                                            json::parse(TokenizerConfigJson(*data, "").dump()));
    ASSERT_TRUE(back) << back.error().message;
    const auto tokenizer = *MakeTokenizer(*back);
    for (const json& one : kind["cases"]) {
      const json& expected = one["special"];
      const Ids ids = tokenizer->Encode(one["text"].get<std::string>(), {.parse_special = true});
      EXPECT_EQ(ids, expected["ids"].get<Ids>());
      EXPECT_EQ(*tokenizer->Decode(ids), expected["text"].get<std::string>());
    }
  }
}

}  // namespace
}  // namespace cloister::model
