#include "model/tokenizer/pre_tokenizer.h"

#include <gtest/gtest.h>

#include <random>

#include "model/tokenizer/named_pre_tokenizers.h"
#include "model/tokenizer/regex.h"
#include "model/tokenizer/text_scanner.h"
#include "model/tokenizer/utf8.h"

namespace cloister::model {
namespace {

using Pieces = std::vector<std::string>;

class Collect final : public PieceSink {
 public:
  void Add(std::string_view piece, bool) override { pieces.emplace_back(piece); }
  Pieces pieces;
};

Pieces Cut(const std::vector<PreTokenizerStep>& steps, std::string_view text) {
  const auto made = PreTokenizer::Make(steps);
  EXPECT_TRUE(made) << made.error().message;
  Collect collect;
  if (made) made->Cut(text, true, collect);
  return collect.pieces;
}

// What the regular expression itself makes of a text.
Pieces CutByRegex(const Regex& regex, std::string_view text) {
  Pieces pieces;
  std::size_t done = 0;
  Regex::Search search(regex, text);
  while (const auto match = search.Next()) {
    if (match->begin > done) pieces.emplace_back(text.substr(done, match->begin - done));
    if (match->end > match->begin) {
      pieces.emplace_back(text.substr(match->begin, match->end - match->begin));
    }
    done = match->end;
  }
  if (done < text.size()) pieces.emplace_back(text.substr(done));
  return pieces;
}

constexpr KnownPattern kKnown[] = {KnownPattern::kGpt2, KnownPattern::kLlama3, KnownPattern::kQwen2,
                                   KnownPattern::kTrailingSpace, KnownPattern::kNumber};
const char* PatternOf(KnownPattern known) {
  static const std::string patterns[] = {std::string(Gpt2Pattern()), std::string(Llama3Pattern()),
                                         std::string(Qwen2Pattern()), R"(\s+$)", R"(\p{N})"};
  return patterns[static_cast<std::size_t>(known)].c_str();
}

void ExpectScannerEqualsRegex(KnownPattern known, const Regex& regex, std::string_view text) {
  Collect collect;
  Scan(known, text, true, collect);
  ASSERT_EQ(collect.pieces, CutByRegex(regex, text)) << "in " << ::testing::PrintToString(text);
}

TEST(TextScanner, EqualsTheRegularExpressionOnEveryCharacter) {
  for (const KnownPattern known : kKnown) {
    const auto regex = Regex::Make(PatternOf(known));
    ASSERT_TRUE(regex) << regex.error().message;
    ASSERT_EQ(FindKnownPattern(PatternOf(known)), known);
    std::string text;
    for (char32_t point = 1; point < 0x110000; ++point) {
      if (point >= 0xd800 && point < 0xe000) continue;
      // Beside a letter, a space, a number, a symbol and itself.
      const char* beside[] = {"a", " ", "1", ".", "\n", "'"};
      AppendUtf8(text, point);
      text += beside[point % 6];
      AppendUtf8(text, point);
      text += beside[point / 6 % 6];
      if (text.size() > 4000) {
        ASSERT_NO_FATAL_FAILURE(ExpectScannerEqualsRegex(known, *regex, text));
        text.clear();
      }
    }
  }
}

TEST(TextScanner, EqualsTheRegularExpressionOnRandomText) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const Pieces parts = {"a",      "B",  "é",      "中",  "1",  "²",        "٣",
                        " ",      "  ", "\t",     "\n",  "\r", "\xc2\x85", "\u2028",
                        "\u3000", "'s", "'RE",    "'ſ",  "'",  ".",        "_",
                        "\u0301", "😀",  "\u00a0", "'ll", "!?", "'D",       "x"};
  for (const KnownPattern known : kKnown) {
    const auto regex = Regex::Make(PatternOf(known));
    for (int trial = 0; trial < 3000; ++trial) {
      std::string text;
      for (std::size_t i = random() % 30; i > 0; --i) text += parts[random() % parts.size()];
      ASSERT_NO_FATAL_FAILURE(ExpectScannerEqualsRegex(known, *regex, text));
    }
  }
}

TEST(PreTokenizer, CutsLikeSmolLmAndKeepsEveryByte) {
  // Digits are cut out first, so the blanks before them end their piece and stay together.
  const Pieces expected = {"It", "'s",    "  ",   "1",    "2",        " o",
                           "'",  "clock", "\n\n", " été", "\xff\xfe", "!"};
  EXPECT_EQ(Cut(FindPreTokenizer("smollm")->steps, "It's  12 o'clock\n\n été\xff\xfe!"), expected);
}

TEST(PreTokenizer, EveryNamedOneKeepsEveryByte) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (const std::string& name : PreTokenizerNames()) {
    const NamedPreTokenizer* named = FindPreTokenizer(name);
    ASSERT_NE(named, nullptr);
    EXPECT_EQ(FindPreTokenizer(named->steps, named->ignore_merges)->steps, named->steps) << name;
    for (int trial = 0; trial < 30; ++trial) {
      std::string text(random() % 80, '\0');
      for (char& c : text) {
        c = random() % 2 == 0 ? static_cast<char>(random()) : "a 1.\n'\xc3\xa9"[random() % 8];
      }
      std::string joined;
      for (const std::string& piece : Cut(named->steps, text)) joined += piece;
      ASSERT_EQ(joined, text) << name;
    }
  }
}

TEST(PreTokenizer, SplitsAsItsBehaviourSays) {
  const std::string text = "-a--b-";
  const auto cut = [&](SplitBehavior behavior, bool invert) {
    return Cut({SplitStep{"-", false, behavior, invert}}, text);
  };
  using B = SplitBehavior;
  EXPECT_EQ(cut(B::kRemoved, false), Pieces({"a", "b"}));
  EXPECT_EQ(cut(B::kIsolated, false), Pieces({"-", "a", "-", "-", "b", "-"}));
  EXPECT_EQ(cut(B::kMergedWithPrevious, false), Pieces({"-", "a-", "-", "b-"}));
  EXPECT_EQ(cut(B::kMergedWithNext, false), Pieces({"-a", "-", "-b", "-"}));
  EXPECT_EQ(cut(B::kContiguous, false), Pieces({"-", "a", "--", "b", "-"}));
  EXPECT_EQ(cut(B::kRemoved, true), Pieces({"-", "-", "-", "-"}));
  EXPECT_EQ(cut(B::kMergedWithNext, true), Pieces({"-", "a-", "-", "b-"}));
}

TEST(PreTokenizer, AnEmptyMatchCuts) {
  EXPECT_EQ(Cut({SplitStep{R"((?=(\d{3})+(?!\d)))"}}, "1234567 12"),
            Pieces({"1", "234", "567 12"}));
}

TEST(PreTokenizer, MetaspaceMarksSpacesAndTheBegin) {
  const std::string m = "\u2581";
  const auto cut = [&](PrependScheme scheme, bool split, std::string_view text) {
    return Cut({MetaspaceStep{m, scheme, split}}, text);
  };
  EXPECT_EQ(cut(PrependScheme::kAlways, true, "a b"), Pieces({m + "a", m + "b"}));
  EXPECT_EQ(cut(PrependScheme::kAlways, true, " a"), Pieces({m + "a"}));
  EXPECT_EQ(cut(PrependScheme::kNever, true, "a b"), Pieces({"a", m + "b"}));
  EXPECT_EQ(cut(PrependScheme::kFirst, false, "a  b"), Pieces({m + "a" + m + m + "b"}));
}

TEST(PreTokenizer, BytesWrittenAsLettersCanBeCutFurther) {
  const auto made = PreTokenizer::Make({ByteLevelStep{false, true}, DigitsStep{true}});
  ASSERT_TRUE(made);
  EXPECT_FALSE(made->byte_level());
  Collect collect;
  made->Cut("a 12", true, collect);
  EXPECT_EQ(collect.pieces, Pieces({"a", "Ġ", "1", "2"}));
  EXPECT_TRUE(PreTokenizer::Make({DigitsStep{true}, ByteLevelStep{false, true}})->byte_level());
}

TEST(PreTokenizer, TrailingSpaceIsFoundInLinearTime) {
  const std::string text = std::string(1 << 20, ' ') + "x";
  EXPECT_EQ(Cut(FindPreTokenizer("deepseek-llm")->steps, text).size(), 2U);
}

}  // namespace
}  // namespace cloister::model
