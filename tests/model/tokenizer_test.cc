#include <gtest/gtest.h>

#include <random>

#include "base/file.h"
#include "model/chat_template.h"
#include "model/tokenizer/bpe_merges.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/text_splitter.h"
#include "model/tokenizer/tokenizer_data.h"
#include "model/tokenizer/tokenizer_json.h"
#include "tests/base/temporary_folder.h"
#include "tests/model/test_models.h"

namespace cloister::model {
namespace {

using base::Code;
using Ids = std::vector<TokenId>;
using testing::TemporaryFolder;
using testing::TinyTokenizer;

std::shared_ptr<const Tokenizer> Tiny() { return *MakeTokenizer(TinyTokenizer()); }

TEST(ByteAlphabet, IsABijectionOfBytes) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string piece = ByteToPiece(static_cast<std::uint8_t>(byte));
    EXPECT_EQ(PieceToBytes(piece), std::string(1, static_cast<char>(byte)));
  }
  EXPECT_EQ(ByteToPiece(' '), "Ġ");
  EXPECT_EQ(ByteToPiece('\n'), "Ċ");
  EXPECT_EQ(ByteToPiece('a'), "a");
}

TEST(BpeMerges, MergesByRankThenFromTheLeft) {
  const auto tiny = Tiny();
  EXPECT_EQ(tiny->Encode("abc", {}), Ids({257}));
  EXPECT_EQ(tiny->Encode("bc", {}), Ids({258}));
  EXPECT_EQ(tiny->Encode("abab", {}), Ids({256, 256}));
  // "a b" has the lower rank, so "bc" is taken apart although it stands first.
  EXPECT_EQ(tiny->Encode("bcabc", {}), Ids({258, 257}));
}

// The quadratic definition: find the best pair, merge it, look again.
Ids SlowMerge(Ids ids, const std::vector<std::array<TokenId, 3>>& rules) {
  while (true) {
    std::size_t best_rule = rules.size(), best_at = 0;
    for (std::size_t at = 0; at + 1 < ids.size(); ++at) {
      for (std::size_t rule = 0; rule < best_rule; ++rule) {
        if (ids[at] == rules[rule][0] && ids[at + 1] == rules[rule][1]) {
          best_rule = rule;
          best_at = at;
        }
      }
    }
    if (best_rule == rules.size()) return ids;
    ids[best_at] = rules[best_rule][2];
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
  }
}

TEST(BpeMerges, EqualsTheSlowDefinitionOnRandomRules) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<std::array<TokenId, 3>> rules;
    BpeMerges merges;
    for (TokenId next = 3; next < 15; ++next) {
      const auto pick = [&] {
        return static_cast<TokenId>(random() % static_cast<unsigned>(next));
      };
      const TokenId left = pick(), right = pick();
      merges.Add(left, right, static_cast<std::int32_t>(rules.size()), next);
      rules.push_back({left, right, next});
    }
    Ids ids(random() % 40);
    for (TokenId& id : ids) id = static_cast<TokenId>(random() % 3);
    ASSERT_EQ(merges.Apply(ids), SlowMerge(ids, rules));
  }
}

TEST(Tokenizer, ReadsSpecialTokensOnlyWhenAsked) {
  const auto tiny = Tiny();
  EXPECT_EQ(tiny->Encode("<s>", {}), Ids({'<', 's', '>'}));
  EXPECT_EQ(tiny->Encode("<s>", {.parse_special = true}), Ids({259}));
  EXPECT_EQ(tiny->Encode("a[tool]", {}), Ids({'a', 261}));  // user-defined: always
  EXPECT_EQ(tiny->Encode("", {.add_bos = true}), Ids({259}));
  EXPECT_EQ(tiny->Encode("", {}), Ids());
  EXPECT_EQ(tiny->Find("<|im_end|>"), 260);
  EXPECT_EQ(tiny->Find("nothing"), std::nullopt);
}

TEST(Tokenizer, EveryByteStringDecodesToItself) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto tiny = Tiny();
  for (int trial = 0; trial < 300; ++trial) {
    std::string text(random() % 60, '\0');
    for (char& c : text) c = static_cast<char>(random());
    ASSERT_EQ(*tiny->Decode(tiny->Encode(text, {})), text);
  }
}

TEST(Tokenizer, AByteWithoutATokenBecomesTheReplacementCharacter) {
  TokenizerData data = TinyTokenizer();
  data.pieces[0xc0] = "nobody writes this";
  const auto tokenizer = *MakeTokenizer(data);
  EXPECT_EQ(tokenizer->Encode("a\xc0z", {}), Ids({'a', 0xef, 0xbf, 0xbd, 'z'}));
}

TEST(Tokenizer, ALongRunIsNotQuadratic) {
  const auto tiny = Tiny();
  const std::string text(1 << 20, 'b');
  EXPECT_EQ(tiny->Encode(text, {}).size(), text.size());
  std::string pairs;
  for (int i = 0; i < 1 << 19; ++i) pairs += "ab";
  EXPECT_EQ(tiny->Encode(pairs, {}).size(), std::size_t{1} << 19);
}

TEST(Tokenizer, RefusesIdsOutOfRangeAndBrokenVocabularies) {
  EXPECT_EQ(Tiny()->Decode(Ids{262}).error().code, Code::kOutOfRange);
  EXPECT_EQ(Tiny()->Decode(Ids{-1}).error().code, Code::kOutOfRange);
  TokenizerData data = TinyTokenizer();
  data.merges.push_back("x yz");
  EXPECT_EQ(MakeTokenizer(data).error().code, Code::kDataLoss);
  data = TinyTokenizer();
  data.bos = 900;
  EXPECT_EQ(MakeTokenizer(data).error().code, Code::kDataLoss);
  data = TinyTokenizer();
  data.split_patterns = {"(unclosed"};
  EXPECT_EQ(MakeTokenizer(data).error().code, Code::kDataLoss);
}

TEST(TextSplitter, CutsLikeGpt2AndKeepsEveryByte) {
  const auto splitter = TextSplitter::Make(TinyTokenizer().split_patterns);
  const std::string text = "It's  12 o'clock\n\n été\xff\xfe!";
  const auto pieces = splitter->Split(text);
  // Digits are cut out first, so the blanks before them end their piece and stay together.
  const std::vector<std::string_view> expected = {"It", "'s",    "  ",   "1",    "2",        " o",
                                                  "'",  "clock", "\n\n", " été", "\xff\xfe", "!"};
  EXPECT_EQ(pieces, expected);
}

TEST(TokenizerJson, ReadsBackWhatItWrites) {
  TemporaryFolder folder;
  TokenizerData data = TinyTokenizer();
  data.normalize_nfc = true;
  data.adds_bos = true;
  ASSERT_TRUE(base::WriteFile(folder / "tokenizer.json", TokenizerJson(data)->dump()));
  ASSERT_TRUE(
      base::WriteFile(folder / "tokenizer_config.json", TokenizerConfigJson(data, "x").dump()));
  const auto back = TokenizerDataFromFolder(folder.path());
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->pieces, data.pieces);
  EXPECT_EQ(back->kinds, data.kinds);
  EXPECT_EQ(back->merges, data.merges);
  EXPECT_EQ(back->split_patterns, data.split_patterns);
  EXPECT_EQ(back->bos, data.bos);
  EXPECT_TRUE(back->adds_bos && back->normalize_nfc);
  // U+0065 U+0301 is composed before it is cut.
  EXPECT_EQ((*MakeTokenizer(*back))->Encode("e\xcc\x81", {}), Ids({0xc3, 0xa9}));
}

TEST(TokenizerJson, NamesPartsThatAreNotSupported) {
  TemporaryFolder folder;
  const auto good = nlohmann::json(*TokenizerJson(TinyTokenizer()));
  const std::vector<std::pair<std::string, nlohmann::json>> changes = {
      {"Lowercase", {{"normalizer", {{"type", "Lowercase"}}}}},
      {"Metaspace", {{"pre_tokenizer", {{"type", "Metaspace"}}}}},
      {"Unigram", {{"model", {{"type", "Unigram"}}}}},
      {"byte_fallback", {{"model", {{"byte_fallback", true}}}}},
  };
  for (const auto& [word, change] : changes) {
    nlohmann::json json = good;
    json.merge_patch(change);
    ASSERT_TRUE(base::WriteFile(folder / "tokenizer.json", json.dump()));
    const auto data = TokenizerDataFromFolder(folder.path());
    ASSERT_FALSE(data) << word;
    EXPECT_EQ(data.error().code, Code::kUnimplemented) << word;
    EXPECT_NE(data.error().message.find(word), std::string::npos) << data.error().message;
  }
}

TEST(ChatTemplate, OtherTemplatesAreSaidToBeUnsupported) {
  const auto made = MakeChatTemplate("{{ messages[0].content }}");
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, Code::kUnimplemented);
}

}  // namespace
}  // namespace cloister::model
