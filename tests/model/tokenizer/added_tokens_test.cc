#include "model/tokenizer/added_tokens.h"

#include <gtest/gtest.h>

namespace cloister::model {
namespace {

// "id@begin-end" of every token found.
std::string Found(const AddedTokens& tokens, std::string_view text, bool read_special = true) {
  std::string all;
  for (std::size_t from = 0; from < text.size();) {
    const auto found = tokens.Find(text, from, read_special);
    if (!found) break;
    all += std::to_string(found->id) + "@" + std::to_string(found->begin) + "-" +
           std::to_string(found->end) + " ";
    from = found->end;
  }
  return all;
}

TEST(AddedTokens, TheLongestOfTheLeftmostCounts) {
  const AddedTokens tokens({{"ab", 1}, {"abc", 2}, {"bcd", 3}, {"c", 4}, {"abc", 9}});
  EXPECT_EQ(Found(tokens, "xabcd"), "2@1-4 ");
  EXPECT_EQ(Found(tokens, "abd bcd cab"), "1@0-2 3@4-7 4@8-9 1@9-11 ");
  EXPECT_EQ(Found(tokens, "b a"), "");
  EXPECT_EQ(Found(AddedTokens({}), "abc"), "");
  EXPECT_EQ(Found(AddedTokens({{"", 1}}), "abc"), "");
}

TEST(AddedTokens, ASpecialTokenThatIsNotReadHidesWhatItHolds) {
  const AddedTokens tokens({{"<a b>", 1, true}, {"a", 2}});
  EXPECT_EQ(Found(tokens, "a<a b>a"), "2@0-1 1@1-6 2@6-7 ");
  EXPECT_EQ(Found(tokens, "a<a b>a", false), "2@0-1 2@6-7 ");
  EXPECT_EQ(Found(tokens, "<a c>", false), "2@1-2 ");
}

TEST(AddedTokens, TakeSpaceAlongAndStandAloneWhereTheyMust) {
  const AddedTokens tokens({{"[L]", 1, false, true, false, false},
                            {"[R]", 2, false, false, true, false},
                            {"word", 3, false, false, false, true}});
  EXPECT_EQ(Found(tokens, "a \t[L] b"), "1@1-6 ");
  EXPECT_EQ(Found(tokens, "a [R] \u3000b"), "2@2-9 ");
  EXPECT_EQ(Found(tokens, "[R]  [L]"), "2@0-5 1@5-8 ");  // the space is taken once
  EXPECT_EQ(Found(tokens, "word words sword (word) éword word"), "3@0-4 3@18-22 3@31-35 ");
}

}  // namespace
}  // namespace cloister::model
