#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "tests/inference/run_command.h"

namespace cloister::cli {
namespace {

using nlohmann::json;

class SmolLm2CommandsTest : public testing::Test {
 protected:
  void SetUp() override {
    model_ = std::string(CLOISTER_MODEL_DIR) + "/SmolLM2-135M-Instruct.Q4_1.gguf";
    ASSERT_TRUE(std::filesystem::exists(model_)) << model_ << " is missing: run ./dev setup";
    const auto golden = base::ReadFile(std::filesystem::path(CLOISTER_TEST_DATA) / "smollm2" /
                                       "smollm2-golden.json");
    ASSERT_TRUE(golden) << golden.error().message;
    rows_ = json::parse(*golden).at("rows");
    file_ = std::filesystem::temp_directory_path() /
            ("cloister-smollm2-" + std::to_string(::getpid()) + ".txt");
  }
  void TearDown() override { std::filesystem::remove(file_); }

  json Generate(const std::string& flag, const std::string& value) {
    const Outcome outcome = RunCommand({"generate", "--model", model_, "--threads", "2", flag,
                                        value, "--max-new-tokens", "4", "--json"});
    EXPECT_EQ(outcome.status, 0) << outcome.errors;
    return outcome.lines().at(0);
  }
  static std::string Joined(const json& ids) {
    std::string text = ids.dump();
    return text.substr(1, text.size() - 2);
  }

  std::string model_;
  json rows_;
  std::filesystem::path file_;
};

TEST_F(SmolLm2CommandsTest, AChatTurnIsThePromptThatTheTemplateMakes) {
  int chats = 0;
  for (const json& row : rows_) {
    if (row.at("kind") != "chat") continue;
    const std::string text = row.at("text");
    const std::string before = "user\n";
    const std::size_t start = text.rfind(before) + before.size();
    const std::string turn = text.substr(start, text.find("<|im_end|>", start) - start);
    const json line = Generate("--chat", turn);
    EXPECT_EQ(line, Generate("--prompt-ids", Joined(row.at("input_ids"))));
    EXPECT_TRUE(line.at("text").is_string());
    ++chats;
  }
  EXPECT_GT(chats, 0);
}

TEST_F(SmolLm2CommandsTest, APromptReadsNoSpecialTokens) {
  const json& row = rows_.at(0);
  EXPECT_EQ(Generate("--prompt", row.at("text")),
            Generate("--prompt-ids", Joined(row.at("input_ids"))));
  // As one special token it would be the prompt "1"; as text it is several tokens.
  EXPECT_NE(Generate("--prompt", "<|im_start|>"), Generate("--prompt-ids", "1"));
}

TEST_F(SmolLm2CommandsTest, ScoreReadsSpecialTokensInTexts) {
  std::string input;
  for (const json& row : rows_) {
    input += json{{"text", row.at("text")}}.dump() + "\n";
    input += json{{"ids", row.at("input_ids")}}.dump() + "\n";
  }
  ASSERT_TRUE(base::WriteFile(file_, input));
  const Outcome outcome =
      RunCommand({"score", "--model", model_, "--input", file_.string(), "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.errors;
  const auto lines = outcome.lines();
  ASSERT_EQ(lines.size(), 2 * rows_.size());
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    EXPECT_EQ(lines[2 * i], lines[2 * i + 1]);
    EXPECT_EQ(lines[2 * i].at("tokens"), rows_[i].at("input_ids").size() - 1);
    // Activations in int8 move a likelihood a little; a wrong token moves it by whole nats.
    EXPECT_NEAR(lines[2 * i].at("nll_sum").get<double>(), rows_[i].at("nll_sum").get<double>(),
                0.1 * lines[2 * i].at("tokens").get<double>());
  }
}

TEST_F(SmolLm2CommandsTest, PerplexityScoresTheSecondHalvesOfWholeChunks) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += "The sky is blue and the grass is green. ";
  ASSERT_TRUE(base::WriteFile(file_, text));
  const auto run = [&](const std::string& context, const std::string& chunks) {
    return RunCommand({"perplexity", "--model", model_, "--file", file_.string(), "--context",
                       context, "--chunks", chunks, "--json"});
  };
  const json two = run("64", "2").lines().at(0);
  EXPECT_EQ(two.at("tokens"), 2 * (64 - 32 - 1));
  EXPECT_GT(two.at("perplexity").get<double>(), 1);
  EXPECT_LT(two.at("perplexity").get<double>(), 10);  // a sentence that repeats is no surprise
  EXPECT_EQ(run("4096", "1").status, 1);              // the file is shorter than a chunk
  EXPECT_EQ(run("8193", "1").status, 2);              // the model has fewer positions
  EXPECT_EQ(run("64", "0").status, 2);
}

}  // namespace
}  // namespace cloister::cli
