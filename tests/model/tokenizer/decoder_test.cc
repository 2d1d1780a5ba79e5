#include "model/tokenizer/decoder.h"

#include <gtest/gtest.h>

#include <random>

#include "model/tokenizer/tokenizer_data.h"
#include "model/tokenizer/utf8.h"
#include "model/tokenizer/utf8_stream.h"

namespace cloister::model {
namespace {

using Parts = std::vector<std::string>;

// What each token adds, then what the end does.
Parts Stream(const std::vector<DecoderStep>& steps, const Parts& tokens) {
  const auto decoder = Decoder::Make(steps);
  EXPECT_TRUE(decoder) << decoder.error().message;
  Decoder::Stream stream(*decoder);
  Parts parts;
  for (const std::string& token : tokens) stream.Add({token, false}, parts.emplace_back());
  parts.push_back(stream.Finish());
  return parts;
}

std::string Joined(const Parts& parts) {
  std::string text;
  for (const std::string& part : parts) text += part;
  return text;
}

const std::vector<DecoderStep> kBytes = {ByteLevelDecoding{}};

TEST(Decoder, ACharacterComesWhenItIsWholeAndNotLater) {
  // 中 is E4 B8 AD, in the letters of the byte alphabet ä ¸ Ń.
  EXPECT_EQ(Stream(kBytes, {"a", "ä", "¸", "Ń", "bä¸", "Ńc"}),
            Parts({"a", "", "", "中", "b", "中c", ""}));
}

TEST(Decoder, WhatIsNoUtf8BecomesReplacementCharacters) {
  EXPECT_EQ(Stream(kBytes, {"ä¸", "a"}), Parts({"", "\ufffda", ""}));
  EXPECT_EQ(Stream(kBytes, {"ä¸"}), Parts({"", "\ufffd"}));
  EXPECT_EQ(Stream(kBytes, {"¸", "ÿ", "ä", "ä"}),
            Parts({"\ufffd", "\ufffd", "", "\ufffd", "\ufffd"}));
  // A token outside of the alphabet stands for itself.
  EXPECT_EQ(Joined(Stream(kBytes, {"<｜x｜>", "Ġy"})), "<｜x｜> y");
}

TEST(Decoder, SentencePieceGivesUpOneSpaceAndGathersBytes) {
  const auto steps = SentencePieceDecoder(true);
  EXPECT_EQ(Stream(steps, {"▁", "▁a", "<0xE4>", "<0xB8>", "<0xAD>", "b"}),
            Parts({"", " a", "", "", "", "中b", ""}));
  EXPECT_EQ(Stream(steps, {"a", "▁b"}), Parts({"a", " b", ""}));
  // One bad byte spoils its run: each byte of it is replaced.
  EXPECT_EQ(Joined(Stream(steps, {"a", "<0x41>", "<0xFF>", "b"})), "a\ufffd\ufffdb");
  EXPECT_EQ(Joined(Stream(steps, {"<0x41>", "<0x42>"})), "AB");
  EXPECT_EQ(Joined(Stream(SentencePieceDecoder(false), {"▁a"})), " a");
}

TEST(Decoder, StripHoldsBackWhatMayBeTheEnd) {
  const std::vector<DecoderStep> steps = {FuseDecoding{}, StripDecoding{"x", 1, 2}};
  EXPECT_EQ(Stream(steps, {"x", "x", "ax", "x", "x", "b", "xxx"}),
            Parts({"", "", "xa", "", "x", "xxb", "x", ""}));
  EXPECT_EQ(Joined(Stream(steps, {"x"})), "");
}

TEST(Decoder, OtherStepsBehindAJoinWaitForTheEnd) {
  const std::vector<DecoderStep> steps = {FuseDecoding{}, ReplaceStep{"ab", false, "_"}};
  EXPECT_EQ(Stream(steps, {"xa", "by"}), Parts({"", "", "x_y"}));
  EXPECT_EQ(Joined(Stream({ReplaceStep{"ab", false, "_"}}, {"xa", "by", "ab"})), "xaby_");
}

TEST(Decoder, WithoutStepsTokensAreJoinedBySpaces) {
  EXPECT_EQ(Stream({}, {"a", "b"}), Parts({"a", " b", ""}));
  EXPECT_EQ(Joined(Stream({MetaspaceDecoding{}}, {"▁a", "▁b"})), "a b");
}

TEST(Decoder, VerbatimTokensAreLeftAlone) {
  const auto decoder = *Decoder::Make(kBytes);
  Decoder::Stream stream(decoder);
  std::string text;
  stream.Add({"ø", true}, text);
  EXPECT_EQ(text + stream.Finish(), "ø");
}

// The maximal-subpart rule, wherever the bytes are cut.
TEST(Utf8Stream, CutsChangeNothing) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::string bytes = "a\xc3\xa9\xe4\xb8\xad\xf0\x9f\xa6\x80\xff\xc0\xed\xa0\x80\xf4\x90";
  for (int trial = 0; trial < 2000; ++trial) {
    std::string input;
    for (std::size_t i = random() % 12; i > 0; --i) input += bytes[random() % bytes.size()];
    std::string whole, cut;
    Utf8Stream one, many;
    one.Add(input, whole);
    one.Finish(whole);
    for (std::size_t at = 0; at < input.size();) {
      const std::size_t size = random() % 3;
      many.Add(std::string_view(input).substr(at, size), cut);
      ASSERT_TRUE(IsUtf8(cut));
      at += size;
    }
    many.Finish(cut);
    ASSERT_EQ(cut, whole) << ::testing::PrintToString(input);
    ASSERT_EQ(whole == input, IsUtf8(input));
  }
  std::string text;
  Utf8Stream stream;
  stream.Add("\xf0\x9f\x41\xed\xa0\x80", text);
  EXPECT_EQ(text, "\ufffdA\ufffd\ufffd\ufffd");
}

}  // namespace
}  // namespace cloister::model
