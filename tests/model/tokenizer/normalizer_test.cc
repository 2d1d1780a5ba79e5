#include "model/tokenizer/normalizer.h"

#include <gtest/gtest.h>

namespace cloister::model {
namespace {

std::string Normalized(const std::vector<NormalizerStep>& steps, std::string_view text) {
  const auto made = Normalizer::Make(steps);
  EXPECT_TRUE(made) << made.error().message;
  return made ? made->Apply(text) : "";
}

TEST(Normalizer, KnowsTheFourForms) {
  EXPECT_EQ(Normalized({UnicodeForm::kNfc}, "e\u0301 \u212b"), "\u00e9 \u00c5");
  EXPECT_EQ(Normalized({UnicodeForm::kNfd}, "\u00e9"), "e\u0301");
  EXPECT_EQ(Normalized({UnicodeForm::kNfkc}, "\ufb01 \u2460"), "fi 1");
  EXPECT_EQ(Normalized({UnicodeForm::kNfkd}, "\u1e9b\u0323"), "s\u0323\u0307");
  EXPECT_EQ(Normalized({UnicodeForm::kNfc}, "plain"), "plain");
}

TEST(Normalizer, CharactersBeyondUnicode9StandApart) {
  // A combining mark of 12.0, over which the accent would be composed, and a digit of 13.0.
  EXPECT_EQ(Normalized({UnicodeForm::kNfc}, "e\U0001e2ec\u0301"), "e\U0001e2ec\u0301");
  EXPECT_EQ(Normalized({UnicodeForm::kNfkc}, "\U0001fbf0"), "\U0001fbf0");
}

TEST(Normalizer, BytesThatAreNoTextStay) {
  EXPECT_EQ(Normalized({UnicodeForm::kNfc}, "e\xcc\x81\xffo\xcc\x88\xc3"),
            "\xc3\xa9\xff\xc3\xb6\xc3");
  EXPECT_EQ(Normalized({LowercaseStep{}}, "A\xff\xc3\x89"), "a\xff\xc3\xa9");
}

TEST(Normalizer, StepsFollowEachOther) {
  EXPECT_EQ(Normalized({PrependStep{"_"}, ReplaceStep{" ", false, "_"}}, "a b"), "_a_b");
  EXPECT_EQ(Normalized({PrependStep{"_"}}, ""), "");
  EXPECT_EQ(Normalized({ReplaceStep{" {2,}", true, "-"}}, "a   b c"), "a-b c");
  EXPECT_EQ(Normalized({StripStep{}}, " \u3000a b\n"), "a b");
  EXPECT_EQ(Normalized({StripStep{false, true}}, " a "), " a");
  EXPECT_EQ(Normalized({StripStep{}}, " \n "), "");
  EXPECT_EQ(Normalized({UnicodeForm::kNfd, StripAccentsStep{}}, "Ä\u0323é"), "Ae");
  EXPECT_EQ(Normalized({LowercaseStep{}}, "ÀΣİ"), "àσi\u0307");
}

TEST(Normalizer, RefusesWhatMakesTextExplode) {
  const std::vector<NormalizerStep> doubling(20, ReplaceStep{"a", false, "aa"});
  const auto made = Normalizer::Make(doubling);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, base::Code::kDataLoss);
}

}  // namespace
}  // namespace cloister::model
