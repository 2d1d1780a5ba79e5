#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "base/file.h"
#include "trainer/data/chat_data.h"
#include "trainer/data/sampling.h"
#include "trainer/optimisation/adamw.h"

namespace cloister::trainer {
namespace {

using testing::HasSubstr;

const std::string kGood =
    R"({"id": "1", "messages": [{"role": "user", "content": "ab"}, {"role": "assistant", "content": "cd"}]})";

std::filesystem::path Write(const std::string& text) {
  const auto path = std::filesystem::path(testing::TempDir()) / "data_test.jsonl";
  EXPECT_TRUE(base::WriteFile(path, text));
  return path;
}

TEST(ChatFile, NamesFileLineAndFieldOfABrokenLine) {
  for (const auto& [line, what] : std::vector<std::pair<std::string, std::string>>{
           {"{\"messages\": [", "no valid JSON"},
           {"[1]", "no JSON object"},
           {"{\"message\": []}", "'messages' is missing"},
           {"{\"messages\": {}}", "'messages' must be a list"},
           {"{\"messages\": []}", "'messages' must be a list"},
           {"{\"messages\": [3]}", "'messages[0]' must be an object"},
           {R"({"messages": [{"role": "user"}]})", "'messages[0].content' must be a string"},
           {R"({"messages": [{"content": "x"}]})", "'messages[0].role' must be a string"},
           {R"({"messages": [{"role": "robot", "content": "x"}]})", "'messages[0].role' must be"},
           {std::string(ChatFile::kMaxLine + 1, 'x'), "line of more than"}}) {
    const auto path = Write(kGood + "\n\n" + line + "\n" + kGood + "\n");
    const auto file = ChatFile::Open(path);
    ASSERT_FALSE(file) << line.substr(0, 40);
    EXPECT_EQ(file.error().code, base::Code::kDataLoss);
    EXPECT_THAT(file.error().message, testing::StartsWith(path.string() + ":3: "));
    EXPECT_THAT(file.error().message, HasSubstr(what));
  }
  EXPECT_EQ(ChatFile::Open("/nowhere.jsonl").error().code, base::Code::kNotFound);
  EXPECT_EQ(ChatFile::Open(Write("\n\n")).error().code, base::Code::kDataLoss);
}

TEST(ChatFile, RecordsAreFoundAgainByTheirOffsets) {
  const std::string other = R"({"messages": [{"role": "user", "content": "zz"}]})";
  const auto file = ChatFile::Open(Write("\n" + kGood + "\r\n  \n" + other));  // no last newline
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->size(), 2);
  EXPECT_EQ((*file->Messages(1))[0]["content"], "zz");
  EXPECT_EQ((*file->Messages(0))[1]["content"], "cd");
  EXPECT_THAT(file->Where(1), testing::EndsWith(":4"));
}

TEST(ChatFile, NoticesAFileThatChangedSinceItWasHashed) {
  const auto file = ChatFile::Open(Write(kGood));
  ASSERT_TRUE(file);
  std::string changed = kGood;
  changed[changed.find("cd")] = 'x';
  Write(changed);
  const auto messages = file->Messages(0);
  ASSERT_FALSE(messages);
  EXPECT_EQ(messages.error().code, base::Code::kDataLoss);
}

TEST(ChatFile, UnitHashIsOfTheConversationAlone) {
  const std::string renamed =
      R"({"messages":[{"content":"ab","role":"user"},{"role":"assistant","content":"cd"}],"id":"9"})";
  const std::string moved =
      R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "bcd"}]})";
  const auto file = ChatFile::Open(Write(kGood + "\n" + renamed + "\n" + moved));
  ASSERT_TRUE(file);
  EXPECT_EQ(file->unit_hashes()[0], file->unit_hashes()[1]);
  EXPECT_NE(file->unit_hashes()[0], file->unit_hashes()[2]);
}

// Every byte is a token; '<' starts a turn, '>' ends one.
class Bytes : public model::Tokenizer {
 public:
  std::vector<model::TokenId> Encode(std::string_view text, EncodeOptions) const override {
    return {text.begin(), text.end()};
  }
  base::Result<std::string> Decode(std::span<const model::TokenId> ids) const override {
    return std::string(ids.begin(), ids.end());
  }
  std::int64_t vocab_size() const override { return 128; }
  std::optional<model::TokenId> bos() const override { return {}; }
  std::vector<model::TokenId> end_of_generation() const override { return {'>'}; }
  bool adds_bos() const override { return false; }
  std::optional<model::TokenId> Find(std::string_view) const override { return {}; }
};

class Brackets : public model::ChatTemplate {
 public:
  base::Result<std::string> Render(const nlohmann::ordered_json& input) const override {
    std::string text;
    for (const auto& message : input["messages"]) {
      text += "<" + message["role"].get<std::string>().substr(0, 1) + ":" +
              message["content"].get<std::string>() + ">.";
    }
    return text + (input["add_generation_prompt"].get<bool>() ? "<a:" : "");
  }
};

// The text with a caret under each answer token.
std::string Marked(const Example& example) {
  std::string text(example.ids.begin(), example.ids.end()), marks;
  for (const auto mark : example.answer) marks += mark != 0 ? '^' : ' ';
  return text + "\n" + marks;
}

TEST(ChatEncoder, MarksEveryAnswerUpToTheEndOfItsTurn) {
  const auto messages = nlohmann::ordered_json::parse(
      R"([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"},
          {"role": "user", "content": "so"}, {"role": "assistant", "content": "no"},
          {"role": "user", "content": "bye"}])");
  const auto encode = [&](std::int64_t max_tokens) {
    return Marked(ChatEncoder(std::make_shared<Bytes>(), std::make_shared<Brackets>(), max_tokens)
                      .Encode(messages)
                      .value());
  };
  EXPECT_EQ(encode(100),
            "<u:hi>.<a:yes>.<u:so>.<a:no>.\n"
            "          ^^^^           ^^^ ");
  EXPECT_EQ(encode(12),
            "<u:hi>.<a:ye\n"
            "          ^^");
  EXPECT_EQ(encode(5), "<u:hi\n     ");
}

TEST(MicroBatches, HoldEveryExampleOnceWithinTheBound) {
  std::vector<Example> examples;
  for (const std::size_t length : {5, 40, 7, 7, 300, 12, 9, 33}) {
    examples.push_back(
        {std::vector<model::TokenId>(length, 1), std::vector<std::uint8_t>(length, 1)});
  }
  std::set<std::size_t> seen;
  for (const auto& group : MicroBatches(examples, 80)) {
    std::int64_t longest = 0;
    for (const std::size_t i : group) {
      EXPECT_TRUE(seen.insert(i).second);
      longest = std::max(longest, examples[i].tokens());
    }
    EXPECT_TRUE(group.size() == 1 || longest * static_cast<std::int64_t>(group.size()) <= 80);
  }
  EXPECT_EQ(seen.size(), examples.size());
  EXPECT_TRUE(MicroBatches({}, 80).empty());
}

TEST(PoissonDraw, DrawsEachUnitIndependentlyAtTheRate) {
  auto random = security::AesCtrStream::FromKey(security::SecretBytes(32));
  constexpr double kRate = 0.3;
  constexpr int kDraws = 4000, kUnits = 10;
  std::vector<int> counts(kUnits, 0);
  std::map<std::size_t, int> sizes;
  for (int draw = 0; draw < kDraws; ++draw) {
    const auto drawn = PoissonDraw(kUnits, kRate, random);
    for (const std::int64_t unit : drawn) ++counts[static_cast<std::size_t>(unit)];
    ++sizes[drawn.size()];
  }
  const double deviation = std::sqrt(kDraws * kRate * (1 - kRate));
  for (const int count : counts) EXPECT_NEAR(count, kDraws * kRate, 5 * deviation);
  // A fixed-size batch would always have three units.
  EXPECT_GT(sizes.size(), 6U);
  EXPECT_GT(sizes[0], 0);
}

TEST(ShuffledBatches, EachEpochHoldsEveryRecordOnceInASeededOrder) {
  ShuffledBatches a(10, 5, 1), b(10, 5, 1), c(10, 5, 2);
  std::vector<std::int64_t> first = a.Next(), second = a.Next();
  EXPECT_EQ(first, b.Next());
  EXPECT_NE(first, c.Next());
  first.insert(first.end(), second.begin(), second.end());
  std::sort(first.begin(), first.end());
  EXPECT_THAT(first, testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
  EXPECT_EQ(ShuffledBatches(3, 8, 1).Next().size(), 3U);
}

TEST(AdamW, FollowsTheDefinition) {
  // Two steps worked out by hand: moments 0.9 and 0.99, rate 0.1, decay 0.5, gradients 2 and -1.
  AdamW optimizer(
      {.learning_rate = 0.1, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 0, .weight_decay = 0.5}, 1);
  std::vector<float> x = {1.0F};
  optimizer.Step(x, std::vector<double>{2.0});
  EXPECT_NEAR(x[0], 1 - 0.1 * (1 + 0.5), 1e-6);
  optimizer.Step(x, std::vector<double>{-1.0});
  const double m = (0.9 * 0.2 - 0.1) / (1 - 0.81), v = (0.99 * 0.04 + 0.01) / (1 - 0.9801);
  EXPECT_NEAR(x[0], 0.85 - 0.1 * (m / std::sqrt(v) + 0.5 * 0.85), 1e-6);
}

}  // namespace
}  // namespace cloister::trainer
