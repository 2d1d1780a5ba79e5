// The real model against values of another implementation.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "model/chat_template.h"
#include "model/convert.h"
#include "model/model_files.h"
#include "model/tokenizer.h"
#include "tests/base/temporary_folder.h"
#include "tests/model/test_models.h"

namespace cloister::model {
namespace {

using Ids = std::vector<TokenId>;

class SmolLm2 : public ::testing::Test {
 protected:
  void SetUp() override {
    auto files = ModelFiles::Open(testing::SmolLm2());
    ASSERT_TRUE(files) << files.error().message << " (./dev setup fetches the model)";
    files_ = *files;
    auto tokenizer = files_->LoadTokenizer();
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    tokenizer_ = *tokenizer;
    std::ifstream stream(testing::TestData() / "smollm2" / "smollm2-golden.json");
    rows_ = nlohmann::json::parse(stream)["rows"];
    ASSERT_EQ(rows_.size(), 10u);
  }

  std::shared_ptr<const ModelFiles> files_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  nlohmann::json rows_;
};

TEST_F(SmolLm2, TokenizesEveryGoldenRow) {
  for (const auto& row : rows_) {
    const Ids ids = tokenizer_->Encode(row["text"].get<std::string>(),
                                       {.parse_special = row["kind"] == "chat"});
    EXPECT_EQ(ids, row["input_ids"].get<Ids>()) << row["text"];
  }
}

TEST_F(SmolLm2, DecodesEveryGoldenRow) {
  for (const auto& row : rows_) {
    EXPECT_EQ(*tokenizer_->Decode(row["input_ids"].get<Ids>()), row["text"]);
    EXPECT_EQ(*tokenizer_->Decode(row["greedy_ids"].get<Ids>()), row["greedy_text"]);
  }
}

TEST_F(SmolLm2, RendersTheGoldenChats) {
  const auto chat = files_->LoadChatTemplate();
  ASSERT_TRUE(chat) << chat.error().message;
  int chats = 0;
  for (const auto& row : rows_) {
    if (row["kind"] != "chat") continue;
    ++chats;
    const std::string text = row["text"];
    const std::string start = "<|im_start|>user\n";
    const std::size_t from = text.find(start) + start.size();
    const std::string question = text.substr(from, text.find("<|im_end|>", from) - from);
    const nlohmann::ordered_json user = {{"role", "user"}, {"content", question}};
    EXPECT_EQ(*(*chat)->Render({{"messages", nlohmann::ordered_json::array({user})},
                                {"add_generation_prompt", true}}),
              text);
  }
  EXPECT_EQ(chats, 2);
  const nlohmann::ordered_json system = {{"role", "system"}, {"content", "Be brief."}};
  EXPECT_EQ(*(*chat)->Render({{"messages", nlohmann::ordered_json::array({system})}}),
            "<|im_start|>system\nBe brief.<|im_end|>\n");
  const auto refused = (*chat)->Render(
      {{"messages", nlohmann::ordered_json::array({nlohmann::ordered_json{{"role", "user"}}})}});
  EXPECT_EQ(refused.error().code, base::Code::kFailedPrecondition);  // text + undefined
}

TEST_F(SmolLm2, HasItsOwnTokensAndShape) {
  EXPECT_EQ(tokenizer_->vocab_size(), 49152);
  EXPECT_EQ(tokenizer_->bos(), 1);
  EXPECT_FALSE(tokenizer_->adds_bos());
  EXPECT_EQ(tokenizer_->end_of_generation(), Ids({2}));
  const auto architecture = files_->architecture();
  ASSERT_TRUE(architecture);
  EXPECT_EQ(architecture->rms_norm_eps, 1e-5);
  EXPECT_TRUE(architecture->tie_word_embeddings);
  EXPECT_TRUE(CheckTensors(*files_, *architecture));
}

TEST_F(SmolLm2, TokenizesTheSameFromAFolder) {
  testing::TemporaryFolder folder;
  const auto written = Convert(testing::SmolLm2(), folder / "hf", DataType::kF16);
  ASSERT_TRUE(written) << written.error().message;
  const auto tokenizer = (*ModelFiles::Open(folder / "hf"))->LoadTokenizer();
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  for (const auto& row : rows_) {
    const Ids ids =
        (*tokenizer)
            ->Encode(row["text"].get<std::string>(), {.parse_special = row["kind"] == "chat"});
    EXPECT_EQ(ids, row["input_ids"].get<Ids>()) << row["text"];
  }
}

}  // namespace
}  // namespace cloister::model
