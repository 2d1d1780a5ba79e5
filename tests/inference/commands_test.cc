#include "cli/inference/commands.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/file.h"
#include "inference/engine/engine.h"
#include "inference/engine/score.h"
#include "tests/inference/run_command.h"
#include "tests/model/ascii_tokenizer.h"

namespace cloister::cli {
namespace {

using nlohmann::json;

class CommandsTest : public testing::Test {
 protected:
  void SetUp() override {
    model_ = (std::filesystem::path(CLOISTER_TEST_DATA) / "models" / "llama").string();
    ASSERT_TRUE(std::filesystem::exists(model_)) << model_ << " is missing";
    folder_ = std::filesystem::temp_directory_path() /
              ("cloister-inference-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text) {
    EXPECT_TRUE(base::WriteFile(folder_ / name, text));
    return (folder_ / name).string();
  }
  Outcome Generate(std::vector<std::string> more) {
    more.insert(more.begin(), {"generate", "--model", model_, "--threads", "1", "--json"});
    return RunCommand(std::move(more));
  }
  Outcome ScoreFile(const std::string& text) {
    return RunCommand({"score", "--model", model_, "--threads", "1", "--json", "--input",
                       Write("input.jsonl", text)});
  }

  std::string model_;
  std::filesystem::path folder_;
};

TEST_F(CommandsTest, GenerateWithIdsAloneNeedsNoTokenizer) {
  const Outcome outcome =
      Generate({"--prompt-ids", "1,5,9", "--max-new-tokens", "6", "--ignore-eos"});
  ASSERT_EQ(outcome.status, 0) << outcome.errors;
  ASSERT_EQ(outcome.lines().size(), 1u);
  const json line = outcome.lines()[0];
  EXPECT_EQ(line.at("ids").size(), 6u);
  EXPECT_TRUE(line.at("text").is_null());
  EXPECT_EQ(line.at("finish_reason"), "length");
  EXPECT_EQ(line.size(), 3u);
  for (const char* tier : {"scalar", "avx2"}) {
    if (!kernels::cpu::Supported(*kernels::cpu::ParseTier(tier))) continue;
    EXPECT_EQ(Generate({"--prompt-ids", "1,5,9", "--max-new-tokens", "6", "--ignore-eos",
                        "--kernels", tier})
                  .lines()[0],
              line);
  }
}

TEST_F(CommandsTest, GenerateEndsWithoutTheEndToken) {
  // A copy of the model whose end token is the second one that it would say.
  const json all =
      Generate({"--prompt-ids", "1,5,9", "--max-new-tokens", "6", "--ignore-eos"}).lines()[0];
  const auto copy = folder_ / "model";
  std::filesystem::create_directories(copy);
  std::filesystem::copy(std::filesystem::path(model_) / "model.safetensors", copy);
  json config = json::parse(*base::ReadFile(std::filesystem::path(model_) / "config.json"));
  config["eos_token_id"] = json::array({0, all.at("ids")[1]});
  ASSERT_TRUE(base::WriteFile(copy / "config.json", config.dump()));
  model_ = copy.string();
  const json ended = Generate({"--prompt-ids", "1,5,9", "--max-new-tokens", "6"}).lines()[0];
  EXPECT_EQ(ended.at("finish_reason"), "stop");
  EXPECT_EQ(ended.at("ids"), json::array({all.at("ids")[0]}));
  EXPECT_EQ(Generate({"--prompt-ids", "1,5,9", "--max-new-tokens", "6", "--ignore-eos"}).lines()[0],
            all);
}

TEST_F(CommandsTest, GenerateSeedsItsDraws) {
  const auto draw = [&](const std::string& seed) {
    return Generate({"--prompt-ids", "1,5,9", "--max-new-tokens", "20", "--ignore-eos",
                     "--temperature", "1.5", "--seed", seed})
        .output;
  };
  EXPECT_EQ(draw("4"), draw("4"));
  EXPECT_NE(draw("4"), draw("5"));
}

TEST_F(CommandsTest, GenerateRefusesWrongFlags) {
  const std::vector<std::vector<std::string>> wrong = {
      {"--max-new-tokens", "3"},
      {"--prompt-ids", "1", "--prompt", "text"},
      {"--prompt-ids", "1,,2"},
      {"--prompt-ids", "1,x"},
      {"--prompt-ids", ""},
      {"--prompt-ids", "1,160"},
      {"--prompt-ids", "99999999999999"},
      {"--prompt-ids", "1", "--max-new-tokens=-1"},
      {"--prompt-ids", "1", "--max-new-tokens", "513"},
      {"--prompt-ids", "1", "--temperature=-0.5"},
      {"--prompt-ids", "1", "--temperature", "nan"},
      {"--prompt-ids", "1", "--kernels", "avx9"},
      {"--prompt-ids", "1", "--seed=-1"},
      {"--prompt-ids", "1", "--seed", "-1"},
      {"--prompt-ids", "1", "--unknown"},
  };
  for (const auto& flags : wrong) {
    const Outcome outcome = Generate(flags);
    EXPECT_EQ(outcome.status, 2) << flags[0] << " " << flags.back() << ": " << outcome.errors;
    EXPECT_EQ(outcome.errors.rfind("error: ", 0), 0u);
    EXPECT_EQ(std::count(outcome.errors.begin(), outcome.errors.end(), '\n'), 1);
    EXPECT_TRUE(outcome.output.empty());
  }
  EXPECT_EQ(Generate({"--prompt-ids", "1", "--max-new-tokens", "512", "--ignore-eos"}).status, 0);
}

TEST_F(CommandsTest, TextWithoutATokenizerNamesTheMissingFile) {
  const Outcome outcome = Generate({"--prompt", "hello", "--max-new-tokens", "3"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.errors.find("tokenizer.json"), std::string::npos);
  EXPECT_EQ(ScoreFile("{\"text\": \"hello\"}\n").status, 1);
}

TEST_F(CommandsTest, ATruncatedModelIsAnErrorOfOneLine) {
  const auto copy = folder_ / "cut";
  std::filesystem::create_directories(copy);
  std::filesystem::copy(std::filesystem::path(model_) / "config.json", copy);
  const std::string weights = *base::ReadFile(std::filesystem::path(model_) / "model.safetensors");
  ASSERT_TRUE(base::WriteFile(copy / "model.safetensors", weights.substr(0, weights.size() / 2)));
  model_ = copy.string();
  const Outcome outcome = Generate({"--prompt-ids", "1"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(std::count(outcome.errors.begin(), outcome.errors.end(), '\n'), 1);
}

TEST_F(CommandsTest, ScorePrintsALineEachInOrder) {
  const Outcome outcome = ScoreFile("{\"ids\": [1, 5, 9, 12]}\n\n{\"ids\": [7]}\n{\"ids\":[3,4]}");
  ASSERT_EQ(outcome.status, 0) << outcome.errors;
  const auto lines = outcome.lines();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].at("tokens"), 3);
  EXPECT_EQ(lines[1].at("tokens"), 0);
  EXPECT_EQ(lines[1].at("nll_sum"), 0.0);
  EXPECT_EQ(lines[2].at("tokens"), 1);
  const auto files = model::ModelFiles::Open(model_);
  const auto engine = inference::Engine::Load(*files, {.threads = 1});
  const auto score =
      inference::ScoreSequence(**engine, std::vector<model::TokenId>{1, 5, 9, 12}, 8);
  EXPECT_NEAR(lines[0].at("nll_sum").get<double>(), score->nll_sum, 1e-9);
  EXPECT_EQ(lines[0].at("top_ids").get<std::vector<model::TokenId>>(), score->top_ids);
  EXPECT_EQ(lines[0].at("top_logits").get<std::vector<float>>(), score->top_logits);
}

TEST_F(CommandsTest, ScoreNamesTheBrokenLineAndPrintsNothing) {
  std::string too_long = "{\"ids\": [1";
  for (int i = 0; i < 512; ++i) too_long += ",1";
  for (const std::string& broken :
       {std::string("{\"ids\": [1, 2.5]}"), std::string("{\"ids\": [-1]}"),
        std::string("{\"ids\": [160]}"), std::string("{\"ids\": [18446744073709551615]}"),
        std::string("{\"ids\": []}"), std::string("{\"ids\": 3}"), std::string("{\"text\": 3}"),
        std::string("[1]"), std::string("{\"ids\": [1]"), std::string("{}"),
        std::string("{\"ids\": [1], \"text\": \"a\"}"), std::string("\xff\xfe"), too_long + "]}"}) {
    const Outcome outcome = ScoreFile("{\"ids\": [1, 2]}\n" + broken + "\n{\"ids\": [1, 2]}\n");
    EXPECT_EQ(outcome.status, 1) << broken;
    EXPECT_NE(outcome.errors.find("input.jsonl:2: "), std::string::npos) << outcome.errors;
    EXPECT_TRUE(outcome.output.empty());
  }
}

TEST_F(CommandsTest, BenchPrintsItsFigures) {
  const Outcome outcome =
      RunCommand({"bench", "--model", model_, "--prompt-tokens", "16", "--generate-tokens", "4",
                  "--threads", "1", "--repeats", "1", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.errors;
  const json line = outcome.lines().at(0);
  EXPECT_EQ(line.size(), 4u);
  EXPECT_GT(line.at("load_seconds").get<double>(), 0);
  EXPECT_GT(line.at("prefill_tokens_per_second").get<double>(), 0);
  EXPECT_GT(line.at("decode_tokens_per_second").get<double>(), 0);
  EXPECT_GT(line.at("peak_rss_bytes").get<std::int64_t>(), 1 << 20);
  EXPECT_EQ(RunCommand({"bench", "--model", model_, "--prompt-tokens", "513"}).status, 2);
  EXPECT_EQ(RunCommand({"bench", "--model", model_, "--prompt-tokens", "0"}).status, 2);
}

// -ln of the probability of `id`, in double and in the plainest way.
double Surprise(std::span<const float> logits, model::TokenId id) {
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  return std::log(sum) - static_cast<double>(logits[static_cast<std::size_t>(id)]);
}

TEST_F(CommandsTest, PerplexityIsThatOfTheLogitsOfEachSecondHalfWithoutItsFirstToken) {
  constexpr std::size_t kContext = 10, kChunks = 3;
  const std::string text = "The sky is blue, the grass is greenish";
  model_ = fixtures::WithAsciiTokenizer(model_, folder_ / "ascii", "");
  const Outcome outcome =
      RunCommand({"perplexity", "--model", model_, "--file", Write("text", text), "--context", "10",
                  "--threads", "1", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.errors;
  std::vector<model::TokenId> ids = {128};
  for (const char c : text) ids.push_back(c);
  const auto files = model::ModelFiles::Open(model_);
  const auto engine = inference::Engine::Load(*files, {.threads = 1});
  double sum = 0, first_tokens = 0;
  for (std::size_t chunk = 0; chunk < kChunks; ++chunk) {
    ids[chunk * kContext] = 128;
    (*engine)->Reset();
    for (std::size_t i = 0; i + 1 < kContext; ++i) {
      const auto logits = (*engine)->Decode(ids[chunk * kContext + i]);
      ASSERT_TRUE(logits);
      const double nats = Surprise(*logits, ids[chunk * kContext + i + 1]);
      if (i + 1 > kContext / 2) sum += nats;
      if (i + 1 == kContext / 2) first_tokens += nats;
    }
  }
  const json line = outcome.lines().at(0);
  const std::int64_t scored = kChunks * (kContext / 2 - 1);
  EXPECT_EQ(line.at("tokens"), scored);
  const double expected = std::exp(sum / static_cast<double>(scored));
  EXPECT_NEAR(line.at("perplexity").get<double>(), expected, 1e-4 * expected);
  // The comparison can fail: with the halves' first tokens it would be another number.
  const double other = std::exp((sum + first_tokens) / static_cast<double>(scored + kChunks));
  EXPECT_GT(std::fabs(other - expected), 1e-2 * expected);
}

TEST_F(CommandsTest, EveryCommandHasHelp) {
  for (const Command& command : InferenceCommands()) {
    const Outcome outcome = RunCommand({command.name, "--help"});
    EXPECT_EQ(outcome.status, 0);
    EXPECT_NE(outcome.output.find("usage: cloister " + command.name), std::string::npos);
    EXPECT_NE(outcome.output.find("--model"), std::string::npos);
    std::istringstream stream(outcome.output);
    std::string line;
    std::getline(stream, line);  // the usage
    int examples = 0;
    while (std::getline(stream, line)) {
      EXPECT_LE(line.size(), 100u) << line;
      if (line.starts_with("  cloister " + command.name)) ++examples;
    }
    EXPECT_GE(examples, 2) << command.name;
  }
}

}  // namespace
}  // namespace cloister::cli
