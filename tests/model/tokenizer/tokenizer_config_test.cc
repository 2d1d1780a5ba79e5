#include "model/tokenizer/tokenizer_config.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "model/tokenizer/tokenizer_json.h"
#include "tests/base/temporary_folder.h"
#include "tests/model/test_models.h"

namespace cloister::model {
namespace {

using nlohmann::json;
using Ids = std::vector<TokenId>;

TokenizerData Read(const json& change, const json& config) {
  auto tokenizer = json(*TokenizerJson(testing::TinyTokenizer()));
  tokenizer.merge_patch(change);
  auto data = TokenizerDataFromJson(tokenizer, config);
  EXPECT_TRUE(data) << data.error().message;
  return *std::move(data);
}

json Template() {
  return json::parse(R"({"post_processor": {"type": "Sequence", "processors": [
      {"type": "ByteLevel"},
      {"type": "TemplateProcessing", "single": [
          {"SpecialToken": {"id": "<s>", "type_id": 0}},
          {"Sequence": {"id": "A", "type_id": 0}}]}]}})");
}

TEST(TokenizerConfig, SaysWhetherBosIsAddedElseTheTemplateDoes) {
  const json bos = {{"bos_token", "<s>"}};
  EXPECT_TRUE(Read(Template(), bos).adds_bos);
  EXPECT_FALSE(Read(json::object(), bos).adds_bos);
  EXPECT_FALSE(Read(Template(), {{"bos_token", "<s>"}, {"add_bos_token", false}}).adds_bos);
  EXPECT_TRUE(Read(json::object(), {{"bos_token", "<s>"}, {"add_bos_token", true}}).adds_bos);
  // Without a configuration the template names it.
  EXPECT_EQ(Read(Template(), json::object()).bos, 259);
  EXPECT_EQ(Read(Template(), {{"bos_token", nullptr}}).bos, std::nullopt);
  EXPECT_EQ(Read(json::object(), {{"eos_token", {{"content", "<|im_end|>"}}}}).eos, 260);
}

TEST(TokenizerConfig, MakesTokensSpecialThatItNames) {
  const json plain =
      json::parse(R"({"added_tokens": null, "model": {"vocab": {"<s>": 259, "<|im_end|>": 260}}})");
  const auto encode = [&](const json& config, bool special) {
    return (*MakeTokenizer(Read(plain, config)))->Encode("<s>", {.parse_special = special});
  };
  EXPECT_EQ(encode(json::object(), true), Ids({'<', 's', '>'}));
  EXPECT_EQ(encode({{"bos_token", "<s>"}}, true), Ids({259}));
  EXPECT_EQ(encode({{"bos_token", "<s>"}}, false), Ids({'<', 's', '>'}));
  EXPECT_EQ(encode({{"additional_special_tokens", json::array({"<s>"})}}, true), Ids({259}));
}

TEST(TokenizerConfig, AddsTokensThatTheTokenizerDoesNotHave) {
  const json config = json::parse(R"({"added_tokens_decoder": {
      "262": {"content": "<new>", "special": true},
      "263": {"content": "<soft>", "lstrip": true},
      "97": {"content": "<taken>"}}})");
  const auto tokenizer = *MakeTokenizer(Read(json::object(), config));
  EXPECT_EQ(tokenizer->Encode("<new>", {.parse_special = true}), Ids({262}));
  EXPECT_EQ(tokenizer->Encode("<new>", {}).size(), 5U);
  EXPECT_EQ(tokenizer->Encode("a <soft>", {}), Ids({'a', 263}));
  EXPECT_EQ(tokenizer->Encode("a", {}), Ids({'a'}));
  const auto tokenizer_json = json(*TokenizerJson(testing::TinyTokenizer()));
  for (const char* id : {"x", "-1", "99999999999999999999", "400000"}) {
    json bad;
    bad["added_tokens_decoder"][id]["content"] = "<new>";
    EXPECT_FALSE(TokenizerDataFromJson(tokenizer_json, bad)) << id;
  }
}

// What transformers 5.24 makes of such folders.
TEST(TokenizerConfig, ItsFlagsCountForTokensThatTheTokenizerHas) {
  const auto tokenizer = [](const json& own, const json& again, json config = json::object()) {
    json token = {{"id", 259},       {"content", "<s>"}, {"single_word", false},
                  {"lstrip", false}, {"rstrip", false},  {"normalized", false},
                  {"special", true}};
    json repeated = token;
    repeated.erase("id");
    token.update(own);
    if (!again.is_null()) repeated.update(again);
    if (!again.is_null()) config["added_tokens_decoder"]["259"] = repeated;
    const json change = {{"added_tokens", json::array({token})}, {"normalizer", {{"type", "NFC"}}}};
    return *MakeTokenizer(Read(change, config));
  };
  const auto encode = [](const auto& made, bool special) {
    return made->Encode("a <s>  b", {.parse_special = special});
  };
  const json none = json::object();
  const json strips = {{"lstrip", true}, {"rstrip", true}};
  EXPECT_EQ(encode(tokenizer(none, none), true), Ids({'a', ' ', 259, ' ', ' ', 'b'}));
  EXPECT_EQ(encode(tokenizer(none, strips), true), Ids({'a', 259, 'b'}));
  EXPECT_EQ(encode(tokenizer(strips, none), true), Ids({'a', ' ', 259, ' ', ' ', 'b'}));
  EXPECT_EQ(encode(tokenizer(strips, nullptr), true), Ids({'a', 259, 'b'}));
  const auto alone = tokenizer(none, {{"single_word", true}});
  EXPECT_EQ(alone->Encode("a<s>", {.parse_special = true}), Ids({'a', '<', 's', '>'}));
  // Special is what either says, or what is named.
  const json plain = {{"special", false}}, special = {{"special", true}};
  const Ids apart = {'a', ' ', '<', 's', '>', ' ', ' ', 'b'},
            whole = {'a', ' ', 259, ' ', ' ', 'b'};
  EXPECT_EQ(encode(tokenizer(special, plain), false), apart);
  EXPECT_EQ(encode(tokenizer(plain, special), false), apart);
  EXPECT_EQ(encode(tokenizer(plain, plain), false), whole);
  EXPECT_EQ(encode(tokenizer(plain, plain, {{"bos_token", "<s>"}}), false), apart);
  const json listed = {{"additional_special_tokens", json::array({"<s>"})}};
  EXPECT_EQ(encode(tokenizer(plain, plain, listed), false), whole);
}

TEST(TokenizerConfig, TokensAreSoughtInNormalizedTextUnlessTheyAreSpecial) {
  const json lower = {{"normalizer", {{"type", "Lowercase"}}}};
  const auto finds = [&](const json& token) {
    json config;
    config["added_tokens_decoder"]["259"] = token;
    const auto ids = (*MakeTokenizer(Read(lower, config)))->Encode("<S>", {.parse_special = true});
    return ids == Ids({259});
  };
  EXPECT_TRUE(finds({{"content", "<s>"}}));
  EXPECT_FALSE(finds({{"content", "<s>"}, {"special", true}}));
  EXPECT_TRUE(finds({{"content", "<s>"}, {"special", true}, {"normalized", true}}));
  EXPECT_FALSE(finds({{"content", "<s>"}, {"normalized", false}}));
}

TEST(TokenizerConfig, TakesFromTheOldMapWhatItDoesNotSay) {
  testing::TemporaryFolder folder;
  ASSERT_TRUE(
      base::WriteFile(folder / "tokenizer.json", TokenizerJson(testing::TinyTokenizer())->dump()));
  ASSERT_TRUE(base::WriteFile(folder / "special_tokens_map.json",
                              R"({"bos_token": "<s>", "eos_token": "<s>"})"));
  ASSERT_TRUE(base::WriteFile(folder / "tokenizer_config.json", R"({"eos_token": "<|im_end|>"})"));
  const auto data = TokenizerDataFromFolder(folder.path());
  ASSERT_TRUE(data) << data.error().message;
  EXPECT_EQ(data->bos, 259);
  EXPECT_EQ(data->eos, 260);
}

}  // namespace
}  // namespace cloister::model
