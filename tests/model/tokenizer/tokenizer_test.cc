#include "model/tokenizer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <functional>
#include <random>
#include <thread>

#include "model/tokenizer/tokenizer_data.h"
#include "model/tokenizer/utf8.h"
#include "tests/model/test_models.h"
#include "tests/model/tokenizer/tiny_tokenizers.h"

namespace cloister::model {
namespace {

using base::Code;
using Ids = std::vector<TokenId>;
using testing::TinySentencePiece;
using testing::TinyTokenizer;

std::shared_ptr<const Tokenizer> Made(TokenizerData data) {
  auto made = MakeTokenizer(std::move(data));
  EXPECT_TRUE(made) << made.error().message;
  return *made;
}
std::shared_ptr<const Tokenizer> Tiny() { return Made(TinyTokenizer()); }

std::string BytesOf(const Tokenizer& tokenizer, const Ids& ids) {
  std::string bytes;
  for (const TokenId id : ids) bytes += *tokenizer.TokenBytes(id);
  return bytes;
}

TEST(Tokenizer, MergesByRankThenFromTheLeft) {
  const auto tiny = Tiny();
  EXPECT_EQ(tiny->Encode("abc", {}), Ids({257}));
  EXPECT_EQ(tiny->Encode("bc", {}), Ids({258}));
  EXPECT_EQ(tiny->Encode("abab", {}), Ids({256, 256}));
  // "a b" has the lower rank, so "bc" is taken apart although it stands first.
  EXPECT_EQ(tiny->Encode("bcabc", {}), Ids({258, 257}));
}

TEST(Tokenizer, ReadsSpecialTokensOnlyWhenAsked) {
  const auto tiny = Tiny();
  EXPECT_EQ(tiny->Encode("<s>", {}), Ids({'<', 's', '>'}));
  EXPECT_EQ(tiny->Encode("<s>", {.parse_special = true}), Ids({259}));
  EXPECT_EQ(tiny->Encode("a[tool]", {}), Ids({'a', 261}));  // user-defined: always
  EXPECT_EQ(tiny->Encode("", {.add_bos = true}), Ids({259}));
  EXPECT_EQ(tiny->Encode("", {}), Ids());
  EXPECT_EQ(tiny->Find("<|im_end|>"), 260);
  EXPECT_EQ(tiny->Find("abc"), 257);
  EXPECT_EQ(tiny->Find("nothing"), std::nullopt);
}

TEST(Tokenizer, PartsAreEncodedAsTheirCallerSaysAndCutWhereSpecialTokensStand) {
  for (const auto& tokenizer : {Tiny(), Made(TinySentencePiece())}) {
    const std::string text = "ab<s>a[tool] <s>";
    const auto parts = tokenizer->CutSpecial(text);
    ASSERT_EQ(parts.size(), 4U);
    EXPECT_EQ(parts[0].text, "ab");
    EXPECT_EQ(parts[1].special, tokenizer->Find("<s>"));
    EXPECT_EQ(parts[2].text, "a[tool] ");
    EXPECT_EQ(tokenizer->EncodeParts(parts), tokenizer->Encode(text, {.parse_special = true}));
    // The same text, none of which is special.
    const Tokenizer::Part plain[] = {{text, {}}};
    EXPECT_EQ(tokenizer->EncodeParts(plain), tokenizer->Encode(text, {}));
    EXPECT_NE(tokenizer->EncodeParts(plain), tokenizer->EncodeParts(parts));
  }
}

TEST(Tokenizer, EveryByteStringCanBeHadBack) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto tiny = Tiny(), pieces = Made(TinySentencePiece());
  for (int trial = 0; trial < 300; ++trial) {
    std::string text(random() % 60, '\0');
    for (char& c : text) c = static_cast<char>(random());
    ASSERT_EQ(BytesOf(*tiny, tiny->Encode(text, {})), text);
    const std::string prefixed = text.empty() ? "" : " " + text;
    ASSERT_EQ(BytesOf(*pieces, pieces->Encode(text, {})), prefixed);
    const std::string decoded = *tiny->Decode(tiny->Encode(text, {}));
    ASSERT_TRUE(IsUtf8(decoded));
    ASSERT_EQ(decoded == text, IsUtf8(text));
  }
}

TEST(Tokenizer, AByteWithoutATokenBecomesTheReplacementCharacter) {
  TokenizerData data = TinyTokenizer();
  data.pieces[0xc0] = "nobody writes this";
  EXPECT_EQ(Made(data)->Encode("a\xc0z", {}), Ids({'a', 0xef, 0xbf, 0xbd, 'z'}));
}

TEST(Tokenizer, SentencePieceMergesByScoreAndFallsBackToBytes) {
  const auto tokenizer = Made(TinySentencePiece());
  const TokenId a = *tokenizer->Find("a"), space = *tokenizer->Find("\u2581");
  EXPECT_EQ(tokenizer->Encode("a", {}), Ids({*tokenizer->Find("\u2581a")}));
  // "\u2581a" comes before "ab", and then there is "\u2581ab".
  EXPECT_EQ(tokenizer->Encode("ab", {}), Ids({*tokenizer->Find("\u2581ab")}));
  EXPECT_EQ(tokenizer->Encode("  a", {}),
            Ids({*tokenizer->Find("\u2581\u2581"), *tokenizer->Find("\u2581a")}));
  EXPECT_EQ(tokenizer->Encode("z\u00e9", {}), Ids({space, 3 + 'z', *tokenizer->Find("é")}));
  EXPECT_EQ(tokenizer->Encode("aaa\u00e8", {}),
            Ids({*tokenizer->Find("\u2581a"), a, a, 3 + 0xc3, 3 + 0xa8}));
  EXPECT_EQ(tokenizer->Encode("", {}), Ids());
  EXPECT_EQ(*tokenizer->Decode(tokenizer->Encode(" az\u00e8<s>", {})), " az\u00e8<s>");
  // A space is put before text that follows a special token, too, and only the first is taken away.
  EXPECT_EQ(*tokenizer->Decode(tokenizer->Encode("a<s>b", {.parse_special = true})), "a<s> b");
}

TEST(Tokenizer, LongTextIsNotQuadratic) {
  const auto tiny = Tiny(), pieces = Made(TinySentencePiece());
  const std::string text(1 << 20, 'b');
  EXPECT_EQ(tiny->Encode(text, {}).size(), text.size());
  std::string pairs;
  for (int i = 0; i < 1 << 19; ++i) pairs += "ab";
  EXPECT_EQ(tiny->Encode(pairs, {}).size(), std::size_t{1} << 19);
  EXPECT_EQ(pieces->Encode(text, {}).size(), text.size() + 1);
  EXPECT_EQ(tiny->Encode(std::string(1 << 20, ' '), {}).size(), text.size());
  EXPECT_EQ(pieces->Encode(std::string((1 << 20) - 1, ' '), {}).size(), text.size() / 2);
  EXPECT_EQ(tiny->Encode(std::string(1 << 20, '<'), {.parse_special = true}).size(), text.size());
}

TEST(Tokenizer, RefusesIdsOutOfRangeAndBrokenVocabularies) {
  EXPECT_EQ(Tiny()->Decode(Ids{262}).error().code, Code::kOutOfRange);
  EXPECT_EQ(Tiny()->Decode(Ids{-1}).error().code, Code::kOutOfRange);
  EXPECT_EQ(Tiny()->TokenBytes(262).error().code, Code::kOutOfRange);
  EXPECT_EQ(Tiny()->NewStreamingDecoder(true)->Add(262).error().code, Code::kOutOfRange);
  const std::vector<std::pair<const char*, std::function<void(TokenizerData&)>>> changes = {
      {"merge of unknown pieces",
       [](auto& d) {
         d.merges.push_back({"xyz", 1});
       }},
      {"merge beyond its piece",
       [](auto& d) {
         d.merges.push_back({"ab", 9});
       }},
      {"bos", [](auto& d) { d.bos = 900; }},
      {"negative eos", [](auto& d) { d.eos = -5; }},
      {"rules of no token", [](auto& d) { d.rules[1000].lstrip = true; }},
      {"kinds", [](auto& d) { d.kinds.pop_back(); }},
      {"scores",
       [](auto& d) {
         d.scores = {1, 2};
       }},
      {"pattern", [](auto& d) { d.pre_tokenizer = {SplitStep{"(unclosed"}}; }},
      {"long added token", [](auto& d) { d.pieces[261] = std::string(5000, 'x'); }},
      {"no pieces", [](auto& d) { d = TokenizerData(); }},
      {"not-a-number score",
       [](auto& d) {
         d = TinySentencePiece();
         d.scores[5] = std::nanf("");
       }},
  };
  for (const auto& [name, change] : changes) {
    TokenizerData data = TinyTokenizer();
    change(data);
    const auto made = MakeTokenizer(std::move(data));
    ASSERT_FALSE(made) << name;
    EXPECT_EQ(made.error().code, Code::kDataLoss) << name;
  }
}

TEST(Tokenizer, ManyThreadsShareOne) {
  const auto tiny = Tiny(), pieces = Made(TinySentencePiece());
  std::vector<std::string> texts;
  std::mt19937 random(7);
  for (int i = 0; i < 2000; ++i) {
    std::string text(random() % 12, ' ');
    for (char& c : text) c = "abc d1"[random() % 6];
    texts.push_back(text);
  }
  std::vector<Ids> expected;
  for (const std::string& text : texts) expected.push_back(tiny->Encode(text, {}));
  const auto fresh = Tiny();
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < texts.size(); ++i) {
        const std::size_t at = (i * 7 + static_cast<std::size_t>(t) * 500) % texts.size();
        if (fresh->Encode(texts[at], {}) != expected[at]) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace cloister::model
