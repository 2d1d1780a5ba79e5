#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <iostream>

#include "base/file.h"
#include "inference/engine/engine.h"
#include "inference/engine/sampler.h"
#include "inference/engine/score.h"
#include "model/model_files.h"
#include "model/quantize.h"

namespace cloister::inference {
namespace {

using model::TokenId;

constexpr std::size_t kBest = 8;
constexpr int kPositions = 8;  // of each row's greedy continuation

struct Row {
  std::vector<TokenId> input_ids;
  std::vector<TokenId> top_ids;
  std::vector<double> top_logits;
  double nll_sum = 0;
  std::vector<TokenId> greedy_ids;
};

// What another implementation computed with the model's weights dequantized to fp32.
std::vector<Row> ReadRows() {
  const auto text =
      base::ReadFile(std::filesystem::path(CLOISTER_TEST_DATA) / "smollm2" / "smollm2-golden.json");
  EXPECT_TRUE(text) << "tests/data/smollm2/smollm2-golden.json is missing";
  std::vector<Row> rows;
  if (!text) return rows;
  const nlohmann::json golden = nlohmann::json::parse(*text);
  for (const auto& row : golden.at("rows")) {
    rows.push_back({row.at("input_ids"), row.at("top8_ids"), row.at("top8_logits"),
                    row.at("nll_sum"), row.at("greedy_ids")});
  }
  return rows;
}

std::filesystem::path ModelPath() {
  return std::filesystem::path(CLOISTER_MODEL_DIR) / "SmolLM2-135M-Instruct.Q4_1.gguf";
}

class SmolLm2Test : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(std::filesystem::exists(ModelPath()))
        << ModelPath() << " is missing: run ./dev setup";
    rows_ = ReadRows();
    ASSERT_EQ(rows_.size(), 10u);
  }
  std::unique_ptr<Engine> Load(const std::filesystem::path& path, bool as_f32) {
    const auto files = model::ModelFiles::Open(path);
    EXPECT_TRUE(files) << files.error().message;
    auto engine = Engine::Load(*files, {.threads = 2, .context = 128, .weights_as_f32 = as_f32});
    EXPECT_TRUE(engine) << engine.error().message;
    return std::move(*engine);
  }
  std::vector<Row> rows_;
};

TEST_F(SmolLm2Test, DequantizedToFp32TheBestLogitsAndLikelihoodsAreTheReferences) {
  const auto engine = Load(ModelPath(), true);
  double largest = 0;
  for (const Row& row : rows_) {
    const auto score = ScoreSequence(*engine, row.input_ids, kBest);
    ASSERT_TRUE(score);
    EXPECT_EQ(score->top_ids, row.top_ids);
    for (std::size_t i = 0; i < kBest; ++i) {
      largest = std::max(largest, std::fabs(score->top_logits[i] - row.top_logits[i]));
    }
    EXPECT_NEAR(score->nll_sum, row.nll_sum, 1e-3 * static_cast<double>(score->tokens));
  }
  std::cout << "largest difference of logits " << largest << "\n";
  EXPECT_LE(largest, 1e-2);
}

// How often the best token is the reference's when the reference's own tokens are fed in.
int Agreement(Engine& engine, const std::vector<Row>& rows) {
  int equal = 0;
  for (const Row& row : rows) {
    engine.Reset();
    auto logits = engine.Prefill(row.input_ids);
    for (std::size_t i = 0; i < kPositions; ++i) {
      EXPECT_TRUE(logits);
      if (Argmax(*logits) == row.greedy_ids[i]) ++equal;
      logits = engine.Decode(row.greedy_ids[i]);
    }
  }
  return equal;
}

TEST_F(SmolLm2Test, InQ8_0TheBestTokenIsTheReferencesAlmostAlways) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("cloister-smollm2-" + std::to_string(::getpid()) + ".gguf");
  const auto written = model::QuantizeModel(ModelPath(), path, model::DataType::kQ8_0);
  ASSERT_TRUE(written) << written.error().message;
  const int equal = Agreement(*Load(path, false), rows_);
  std::filesystem::remove(path);
  std::cout << "Q8_0 agrees at " << equal << " of 80 positions\n";
  EXPECT_GE(equal, 72);
}

TEST_F(SmolLm2Test, InQ4_1AsItComesTheBestTokenIsTheReferencesAlmostAlways) {
  const int equal = Agreement(*Load(ModelPath(), false), rows_);
  std::cout << "Q4_1 agrees at " << equal << " of 80 positions\n";
  EXPECT_GE(equal, 72);
}

// Fed the tokens of another row, the agreement is gone: the count above measures something.
TEST_F(SmolLm2Test, WithAnotherRowsTokensTheAgreementIsGone) {
  std::vector<Row> shuffled = rows_;
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    shuffled[i].input_ids = rows_[(i + 1) % rows_.size()].input_ids;
  }
  EXPECT_LT(Agreement(*Load(ModelPath(), false), shuffled), 72);
}

}  // namespace
}  // namespace cloister::inference
