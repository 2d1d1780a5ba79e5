#include "model/tokenizer/gguf_tokenizer.h"

#include <gtest/gtest.h>

#include <functional>

#include "model/tokenizer/named_pre_tokenizers.h"
#include "model/tokenizer/tokenizer_settings.h"
#include "tests/base/temporary_folder.h"
#include "tests/model/test_models.h"
#include "tests/model/tokenizer/tiny_tokenizers.h"

namespace cloister::model {
namespace {

using base::Code;
using Ids = std::vector<TokenId>;
using Strings = std::vector<std::string>;
using testing::TinySentencePiece;
using testing::TinyTokenizer;

base::Result<GgufFile> Write(const std::filesystem::path& path, const TokenizerData& data,
                             std::int64_t rows = 300) {
  GgufMetadata metadata;
  metadata.AddString("general.architecture", "llama");
  CLOISTER_RETURN_IF_ERROR(AddTokenizerToGguf(data, rows, metadata));
  if (data.bos) {
    metadata.AddUint32("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(*data.bos));
  }
  CLOISTER_ASSIGN_OR_RETURN(auto sink, NewGguf(path, metadata, {}));
  CLOISTER_RETURN_IF_ERROR(sink->Commit());
  return GgufFile::Open(path);
}

bool HasSettings(const GgufFile& file) {
  const auto text = file.String(kSettingsKey);
  return text && text->has_value();
}

TEST(GgufTokenizer, ComesBackAsItWasWritten) {
  testing::TemporaryFolder folder;
  for (const TokenizerData& data : {TinyTokenizer(), TinySentencePiece()}) {
    const auto file = Write(folder / "vocabulary.gguf", data);
    ASSERT_TRUE(file) << file.error().message;
    const auto back = TokenizerDataFromGguf(*file);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_FALSE(HasSettings(*file));  // GGUF's own words say it all
    EXPECT_EQ(back->pieces.size(), 300U);
    EXPECT_EQ(back->kinds.back(), TokenKind::kUnused);
    EXPECT_EQ(back->merges, data.merges);
    EXPECT_EQ(back->normalizer, data.normalizer);
    EXPECT_EQ(back->pre_tokenizer, data.pre_tokenizer);
    const auto before = *MakeTokenizer(data), after = *MakeTokenizer(*back);
    for (const char* text : {"ab abc<s>[tool] 12 é  b", "<|im_end|>", "", " a"}) {
      for (const bool special : {true, false}) {
        const Ids ids = before->Encode(text, {.parse_special = special});
        EXPECT_EQ(after->Encode(text, {.parse_special = special}), ids);
        EXPECT_EQ(*after->Decode(ids), *before->Decode(ids));
      }
    }
  }
}

TEST(GgufTokenizer, WhatGgufHasNoWordsForIsKeptBesideThem) {
  testing::TemporaryFolder folder;
  const std::vector<std::function<void(TokenizerData&)>> changes = {
      [](TokenizerData& d) { d.normalizer = {UnicodeForm::kNfc}; },
      [](TokenizerData& d) { d.rules[261].lstrip = true; },
      [](TokenizerData& d) {
        d.added_verbatim = false;
        d.pieces[261] = "ø";
      },
      [](TokenizerData& d) {
        d = TinySentencePiece();
        d.normalizer.clear();
        d.pre_tokenizer = {MetaspaceStep{"▁", PrependScheme::kFirst, false}};
        d.fuses_unknown = true;
      },
  };
  for (const auto& change : changes) {
    TokenizerData data = TinyTokenizer();
    data.added_verbatim = true;
    change(data);
    const auto file = Write(folder / "vocabulary.gguf", data);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_TRUE(HasSettings(*file));
    const auto back = TokenizerDataFromGguf(*file);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->normalizer, data.normalizer);
    EXPECT_EQ(back->pre_tokenizer, data.pre_tokenizer);
    EXPECT_EQ(back->decoder, data.decoder);
    EXPECT_EQ(back->rules, data.rules);
    EXPECT_EQ(back->added_verbatim, data.added_verbatim);
    EXPECT_EQ(back->fuses_unknown, data.fuses_unknown);
  }
}

TEST(GgufTokenizer, MergesOfASentencePieceVocabularyBecomeScores) {
  testing::TemporaryFolder folder;
  TokenizerData data = TinySentencePiece();
  data.scores.clear();
  data.merges = {{"▁a", 3}, {"ab", 1}, {"▁ab", 3}, {"▁ab", 4}, {"▁▁", 3}};
  const auto file = Write(folder / "vocabulary.gguf", data);
  ASSERT_TRUE(file) << file.error().message;
  const auto back = *MakeTokenizer(*TokenizerDataFromGguf(*file));
  const auto there = *MakeTokenizer(data);
  for (const char* text : {"ab", "   ab ab", "aab", "  ", "baé"}) {
    EXPECT_EQ(back->Encode(text, {}), there->Encode(text, {})) << text;
  }
  // "▁" and "ab" spell "▁ab", which scores would join: without that rule no scores say the same.
  data.merges = {{"▁a", 3}, {"ab", 1}, {"▁ab", 4}, {"▁▁", 3}};
  EXPECT_EQ(Write(folder / "other.gguf", data).error().code, Code::kUnimplemented);
}

TEST(GgufTokenizer, RefusesWhatLlamaCppCouldNotDo) {
  testing::TemporaryFolder folder;
  TokenizerData data = TinyTokenizer();
  data.pre_tokenizer = {SplitStep{"[aeiou]"}, ByteLevelStep{false, false}};
  EXPECT_EQ(Write(folder / "a.gguf", data).error().code, Code::kUnimplemented);
  data.pre_tokenizer = {WhitespaceStep{}};
  EXPECT_EQ(Write(folder / "b.gguf", data).error().code, Code::kUnimplemented);
  EXPECT_EQ(Write(folder / "c.gguf", TinyTokenizer(), 100).error().code, Code::kDataLoss);
}

TEST(GgufTokenizer, ANameStandsForStepsThatCutTheSame) {
  const auto* smollm = FindPreTokenizer("smollm");
  ASSERT_NE(smollm, nullptr);
  const std::vector<PreTokenizerStep> other = {SplitStep{R"(\p{N})"}, ByteLevelStep{false, true}};
  EXPECT_EQ(FindPreTokenizer(other, false), smollm);
  EXPECT_EQ(FindPreTokenizer(other, true), nullptr);
  EXPECT_EQ(FindPreTokenizer({DigitsStep{false}, ByteLevelStep{false, true}}, false), nullptr);
  EXPECT_EQ(FindPreTokenizer("unheard of"), nullptr);
}

using AddKeys = std::function<void(GgufMetadata&)>;

base::Result<TokenizerData> ReadBack(const AddKeys& add) {
  testing::TemporaryFolder folder;
  GgufMetadata metadata;
  metadata.AddString("general.architecture", "llama");
  add(metadata);
  EXPECT_TRUE((*NewGguf(folder / "v.gguf", metadata, {}))->Commit());
  return TokenizerDataFromGguf(*GgufFile::Open(folder / "v.gguf"));
}

// A vocabulary of `model` with the tokens a, b, c and what `more` adds.
AddKeys Tokens(const char* model, const AddKeys& more) {
  return [=](GgufMetadata& m) {
    m.AddString("tokenizer.ggml.model", model);
    m.AddStrings("tokenizer.ggml.tokens", Strings{"a", "b", "c"});
    more(m);
  };
}

TEST(GgufTokenizer, MalformedKeysAreNamed) {
  const std::vector<float> scores = {1, 2, 3};
  const std::vector<std::pair<std::string, AddKeys>> cases = {
      {"tokenizer.ggml.model", [](GgufMetadata&) {}},
      {"'bert'", Tokens("bert", [](GgufMetadata&) {})},
      {"'unheard'", Tokens("gpt2",
                           [](GgufMetadata& m) {
                             m.AddString("tokenizer.ggml.pre", "unheard");
                             m.AddStrings("tokenizer.ggml.merges", Strings{"a b"});
                           })},
      {"ggml.tokens", [](GgufMetadata& m) { m.AddString("tokenizer.ggml.model", "gpt2"); }},
      {"ggml.merges", Tokens("gpt2", [](GgufMetadata&) {})},
      {"names no two",
       Tokens("gpt2",
              [](GgufMetadata& m) { m.AddStrings("tokenizer.ggml.merges", Strings{"ab"}); })},
      {"scores", Tokens("llama",
                        [](GgufMetadata& m) {
                          m.AddFloat32s("tokenizer.ggml.scores", std::vector<float>{1});
                        })},
      {"differ in length", Tokens("llama",
                                  [](GgufMetadata& m) {
                                    m.AddInt32s("tokenizer.ggml.token_type", std::vector<int>{1});
                                  })},
      {"no type", Tokens("llama",
                         [](GgufMetadata& m) {
                           m.AddInt32s("tokenizer.ggml.token_type", std::vector<int>{77, 1, 1});
                         })},
      {"bos_token_id", Tokens("llama",
                              [&](GgufMetadata& m) {
                                m.AddFloat32s("tokenizer.ggml.scores", scores);
                                m.AddUint32("tokenizer.ggml.bos_token_id", 9);
                              })},
  };
  for (const auto& [word, add] : cases) {
    const auto data = ReadBack(add);
    ASSERT_FALSE(data) << word;
    EXPECT_NE(data.error().message.find(word), std::string::npos) << data.error().message;
  }
}

TEST(GgufTokenizer, EndsOfTurnsAreThoseThatTheFileNames) {
  const auto data = ReadBack(Tokens("llama", [](GgufMetadata& m) {
    m.AddFloat32s("tokenizer.ggml.scores", std::vector<float>{1, 2, 3});
    m.AddUint32("tokenizer.ggml.eot_token_id", 2);
    m.AddUint32("tokenizer.ggml.eom_token_id", 0);
  }));
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data->end_ids, Ids({2, 0}));
}

}  // namespace
}  // namespace cloister::model
