// `cloister train` on data of every format, and on data that is wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dp/ledger/ledger.h"
#include "tests/trainer/tiny_chat_model.h"
#include "tests/trainer/train_command_case.h"

namespace cloister::cli {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class TrainDataCommand : public TrainCommand {
 protected:
  void SetUp() override {
    TrainCommand::SetUp();
    model_ = folder_ / "tiny";
    trainer::WriteTinyChatModel(model_);
  }

  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }

  // On the file `data`, without held-out records; what is learned lies in output().
  Outcome RunOn(const std::string& data, const std::string& recipe,
                std::vector<std::string> overrides = {}) const {
    fs::remove_all(output());
    overrides.insert(overrides.begin(), {"data.train=" + (folder_ / data).string(),
                                         "data.eval=null", "lora.first_layer=0"});
    return Run(recipe, overrides);
  }
  std::string Adapter() const {
    return base::ReadFile(output() / "adapter_model.safetensors").value();
  }
};

TEST_F(TrainDataCommand, TheSameRecordsTeachTheSameInEveryFormat) {
  std::string chat, instruction, csv = "answer,source,question\r\n";
  for (int i = 0; i < 12; ++i) {
    const std::string n = std::to_string(i);
    chat += R"({"messages": [{"role": "user", "content": "What, \"is\"\n)" + n +
            R"("}, {"role": "assistant", "content": "It is )" + n + "\"}]}\n";
    instruction += R"({"output": "It is )" + n + R"(", "input": ")" + n +
                   R"(", "instruction": "What, \"is\""})" + "\n";
    csv += "It is " + n + ",x,\"What, \"\"is\"\"\n" + n + "\"\r\n";
  }
  Write("chat", chat);
  Write("instruction", instruction);
  Write("csv", csv);
  ASSERT_EQ(RunOn("chat", "lora.yaml").status, 0);
  const std::string learned = Adapter();
  ASSERT_EQ(RunOn("instruction", "lora.yaml", {"data.format=instruction"}).status, 0);
  EXPECT_EQ(Adapter(), learned);
  const Outcome outcome =
      RunOn("csv", "lora.yaml",
            {"data.format=csv", "data.columns={instruction: question, output: answer}"});
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  EXPECT_EQ(Adapter(), learned);
  EXPECT_THAT(base::ReadFile(output() / "recipe.yaml").value(), HasSubstr("output: answer"));
  // Not for want of what it could be told by.
  ASSERT_EQ(RunOn("chat", "lora.yaml", {"data.truncation=left", "data.max_tokens=20"}).status, 0);
  EXPECT_NE(Adapter(), learned);
}

TEST_F(TrainDataCommand, TextsTrainWithoutAChatTemplate) {
  model_ = folder_ / "wordless";
  fixtures::WithAsciiTokenizer(fs::path(CLOISTER_TEST_DATA) / "models" / "llama", model_, "");
  EXPECT_THAT(RunOn("train.jsonl", "lora.yaml").error, HasSubstr("template"));
  Write("text", "To be, or not to be.\n\n<assistant: is a text like any other>\n");
  Write("json", R"({"text": "To be, or not to be."}
{"text": "<assistant: is a text like any other>"})");
  Outcome outcome = RunOn("text", "lora.yaml", {"data.format=text", "training.batch_size=2"});
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  const std::string learned = Adapter();
  outcome = RunOn("json", "lora.yaml",
                  {"data.format=text", "data.columns.text=text", "training.batch_size=2"});
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  EXPECT_EQ(Adapter(), learned);
}

TEST_F(TrainDataCommand, ABrokenRecordIsNamedAndNothingIsSpent) {
  const std::string header = "instruction,output\n\"a\nb\",c\n";
  for (const auto& [name, format, text, what] :
       std::vector<std::tuple<std::string, std::string, std::string, std::string>>{
           {"csv", "csv", header + "d\n", "csv:4: another number of fields"},
           {"open", "csv", header + "\"d,e\n", "open:4: quote that is never closed"},
           {"named", "csv", "question,output\na,b\n", "named:1: the header has no column"},
           {"json", "instruction", "{\"instruction\": \"a\", \"output\": \"b\"}\n{}\n",
            "json:2: field 'instruction'"},
           {"text", "text", "fine\n\xff\n", "text:2: bytes that are no UTF-8"},
           {"empty", "chat", "", "empty:1: no record"},
           {"blank", "text", "\n  \n", "blank:1: no record"}}) {
    Write(name, text);
    const Outcome outcome = RunOn(name, "dp-lora.yaml", {"data.format=" + format});
    EXPECT_EQ(outcome.status, 1) << name;
    EXPECT_THAT(outcome.error, HasSubstr(what));
    EXPECT_EQ(std::count(outcome.error.begin(), outcome.error.end(), '\n'), 1) << outcome.error;
    EXPECT_FALSE(fs::exists(folder_ / "ledger.sqlite"));
    ExpectNothingWritten();
  }
}

TEST_F(TrainDataCommand, PackingIsWrongUsageWithPrivacyAndSaysWhy) {
  const Outcome outcome = Run("dp-lora.yaml", {"data.packing=true"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.error, HasSubstr("'data.packing' may not stand with 'privacy'"));
  EXPECT_THAT(outcome.error, HasSubstr("must be its own"));
  ExpectNothingWritten();
}

TEST_F(TrainDataCommand, PackedStepsHaveThePaddedOnesLoss) {
  std::vector<std::vector<double>> losses;
  for (const char* packing : {"false", "true"}) {
    const Outcome outcome = RunOn("train.jsonl", "lora.yaml",
                                  {"data.packing=" + std::string(packing), "training.steps=4",
                                   "training.batch_size=7", "training.micro_batch_tokens=150"});
    ASSERT_EQ(outcome.status, 0) << outcome.error;
    losses.emplace_back();
    for (const auto& event : outcome.events) {
      if (event["event"] == "step") losses.back().push_back(event["loss"]);
    }
  }
  ASSERT_EQ(losses[0].size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(losses[0][i], losses[1][i], 1e-4);
}

TEST_F(TrainDataCommand, ARecordThatIsTooLongIsRefusedBeforeAnySpendWhereTheRecipeSaysSo) {
  std::ofstream(folder_ / "train.jsonl", std::ios::app)
      << R"({"messages": [{"role": "user", "content": ")" << std::string(300, 'x')
      << R"("}, {"role": "assistant", "content": "b"}]})";
  const Outcome refused = RunOn("train.jsonl", "dp-lora.yaml", {"data.truncation=error"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.error, HasSubstr("train.jsonl:21: more than the 64 tokens"));
  EXPECT_FALSE(fs::exists(folder_ / "ledger.sqlite"));
  for (const char* policy : {"left", "right", "skip"}) {
    EXPECT_EQ(RunOn("train.jsonl", "lora.yaml", {"data.truncation=" + std::string(policy)}).status,
              0)
        << policy;
  }
}

TEST_F(TrainDataCommand, MoreTokensThanTheModelHasPositionsAreWrongUsage) {
  const Outcome outcome = RunOn("train.jsonl", "lora.yaml", {"data.max_tokens=1000000"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.error, HasSubstr("data.max_tokens is more than the model's"));
}

TEST_F(TrainDataCommand, RecordsWithoutAnyAnswerAreRefusedBeforeTheFirstStep) {
  std::string text;
  for (int i = 0; i < 9; ++i) {
    text += R"({"messages": [{"role": "user", "content": ")" + std::to_string(i) + "\"}]}\n";
  }
  Write("silent", text);
  for (const Outcome& outcome :
       {RunOn("silent", "lora.yaml"), RunOn("train.jsonl", "lora.yaml", {"data.max_tokens=8"})}) {
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.error, HasSubstr("no record has an answer within data.max_tokens"));
    EXPECT_TRUE(outcome.events.empty());
    ExpectNothingWritten();
  }
  // One record with an answer more may not be seen in how a private run ends.
  EXPECT_EQ(RunOn("silent", "dp-lora.yaml").status, 0);
}

// Cut to a few of them, a user with very many records takes the time of any other, and costs what
// any other costs.
TEST_F(TrainDataCommand, AUserMayHaveAHundredThousandRecords) {
  std::string text;
  for (int i = 0; i < 100'010; ++i) {
    text += R"({"unit": "u)" + std::to_string(i < 100'000 ? 0 : i) +
            R"(", "instruction": "say", "output": ")" + std::to_string(i) + "\"}\n";
  }
  Write("users", text);
  const Outcome outcome =
      RunOn("users", "dp-lora.yaml",
            {"data.format=instruction", "privacy.unit=user", "privacy.sampling_rate=1",
             "privacy.max_records_per_unit=3", "privacy.target_epsilon=null",
             "privacy.noise_multiplier=5", "training.eval_every=0"});
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  EXPECT_EQ(dp::Ledger::OpenReadOnly(folder_ / "ledger.sqlite").value()->Rows()->size(), 2U);
  EXPECT_THAT(base::ReadFile(output() / "recipe.yaml").value(),
              HasSubstr("max_records_per_unit: 3"));
}

}  // namespace
}  // namespace cloister::cli
