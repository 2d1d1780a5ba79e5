#include "model/tokenizer/regex.h"

#include <gtest/gtest.h>

#include "model/tokenizer/unicode_categories.h"
#include "model/tokenizer/utf8.h"

namespace cloister::model {
namespace {

// The matches, each between brackets.
std::string Matches(const std::string& pattern, std::string_view text) {
  const auto regex = Regex::Make(pattern);
  EXPECT_TRUE(regex) << regex.error().message;
  std::string all;
  if (!regex) return all;
  Regex::Search search(*regex, text);
  while (const auto match = search.Next()) {
    all += "[" + std::string(text.substr(match->begin, match->end - match->begin)) + "]";
  }
  return all;
}

// Each of these is how Oniguruma, as Hugging Face's tokenizers run it, takes the pattern.
TEST(Regex, ReadsOnigurumasSyntax) {
  EXPECT_EQ(Matches(R"([\p{L}&&[^a-z]]+)", "abCDé1"), "[CDé]");
  EXPECT_EQ(Matches(R"([a-c[x-z]]+)", "abxyq"), "[abxy]");
  EXPECT_EQ(Matches(R"([^[:space:]]+)", "ab c"), "[ab][c]");
  EXPECT_EQ(Matches(R"(\h+)", "xFace9"), "[Face9]");
  EXPECT_EQ(Matches(R"([\n\v\u0041\x42\x{43}]+)", "xA\vBC"), "[A\vBC]");
  EXPECT_EQ(Matches(R"(.$)", "a\nb"), "[a][b]");
  EXPECT_EQ(Matches(R"(^.)", "a\nb\n"), "[a][b]");
  EXPECT_EQ(Matches(R"((?m:a.b))", "a\nb"), "[a\nb]");
  EXPECT_EQ(Matches(R"(a.b)", "a\nb"), "");
  EXPECT_EQ(Matches(R"([]a]+)", "a]b"), "[a]]");
  EXPECT_EQ(Matches(R"(a{,2}b)", "aaab"), "[aab]");
  EXPECT_EQ(Matches(R"({)", "a{b"), "[{]");
  EXPECT_EQ(Matches(R"(\p{^L}+|\P{L})", "a1-b"), "[1-]");
  EXPECT_EQ(Matches(R"([\P{N}a]+)", "ab1a"), "[ab][a]");
  EXPECT_EQ(Matches(R"(\w)", "²é_-"), "[²][é][_]");
  EXPECT_EQ(Matches(R"([\w]+)", "²é_-"), "[é_]");
  EXPECT_EQ(Matches(R"(\p{Han}+|\p{Arabic}+)", "中\u3001\u064b\u0627"), "[中][\u0627]");
  EXPECT_EQ(Matches(R"((?i:'s))", "'S 's 'ſ"), "['S]['s]['ſ]");
}

TEST(Regex, EmptyMatchesAreTakenExceptBehindAnother) {
  EXPECT_EQ(Matches(R"(a*)", "baac"), "[][aa][]");
  EXPECT_EQ(Matches(R"(\b)", "ab"), "[][]");
}

TEST(Regex, SpacesAreUnicodesWhiteSpace) {
  const auto space = Regex::Make(R"(\s)"), other = Regex::Make(R"([^\S])");
  for (char32_t point = 1; point < 0x3100; ++point) {
    std::string text;
    AppendUtf8(text, point);
    for (const auto* regex : {&space, &other}) {
      const bool found = Regex::Search(**regex, text).Next().has_value();
      EXPECT_EQ(found, IsWhiteSpace(point)) << static_cast<unsigned>(point);
    }
  }
}

TEST(Regex, LettersAreThoseOfUnicode16) {
  EXPECT_EQ(Matches(R"(\p{L}+)", "a\U00031350\U00010d4a1"), "[a\U00031350\U00010d4a]");
  EXPECT_EQ(Matches(R"([^\p{N}]+)", "\U0001e4f0a"), "[a]");  // a digit of Unicode 15
}

TEST(Regex, SaysWhatItDoesNotRead) {
  for (const char* pattern : {R"((?~ab))", R"(\g<1>)", R"(\K)", R"((?x)a)", R"(\X)", "a{1,2}+",
                              R"(\p{No Such Thing!})", "(*SKIP)a"}) {
    const auto regex = Regex::Make(pattern);
    ASSERT_FALSE(regex) << pattern;
    EXPECT_EQ(regex.error().code, base::Code::kUnimplemented) << regex.error().message;
    EXPECT_NE(regex.error().message.find(pattern), std::string::npos);
  }
  for (const char* pattern : {"(a", "[a", "a\\", R"(\p{L)", "a)", "\xff", R"(\p{Klingon})"}) {
    const auto regex = Regex::Make(pattern);
    ASSERT_FALSE(regex) << pattern;
    EXPECT_EQ(regex.error().code, base::Code::kDataLoss) << regex.error().message;
  }
  EXPECT_FALSE(Regex::Make(std::string(100000, 'a')));
  EXPECT_FALSE(Regex::Make(std::string(1000, '[')));
  EXPECT_FALSE(Regex::Make(std::string(10000, '(')));
}

TEST(Regex, APatternThatBacktracksForEverGivesUp) {
  EXPECT_EQ(Matches(R"(\A(a+)+$)", std::string(64, 'a') + "b\n" + "aa"), "");
}

}  // namespace
}  // namespace cloister::model
