#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/trainer/recipe_case.h"

namespace cloister::trainer {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(DataRecipe, ReadsFormatColumnsTruncationAndPacking) {
  const auto plain = Load("lora.yaml", {});
  ASSERT_TRUE(plain) << plain.error().message;
  EXPECT_EQ(plain->data.layout.format, DataFormat::kChat);
  EXPECT_EQ(plain->data.truncation, Truncation::kRight);
  EXPECT_FALSE(plain->training.compute.packing);
  const auto table =
      Load("lora.yaml", {"data.format=csv", "data.truncation=left", "data.packing=true",
                         "data.columns={instruction: question, output: answer}"});
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_EQ(table->data.layout.format, DataFormat::kCsv);
  EXPECT_EQ(table->data.layout.columns.instruction, "question");
  EXPECT_EQ(table->data.layout.columns.input, "input");
  EXPECT_EQ(table->data.truncation, Truncation::kLeft);
  EXPECT_TRUE(table->training.compute.packing);
  const std::string text = ToYaml(*table);
  EXPECT_THAT(text, AllOf(HasSubstr("question"), Not(HasSubstr("text:"))));
  const auto again = LoadText(text);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(ToYaml(*again), text);
  EXPECT_NE(PinnedRecipe(*table), PinnedRecipe(*plain));
  const auto texts = Load("lora.yaml", {"data.format=csv", "data.columns.text=note"});
  EXPECT_THAT(ToYaml(*texts), AllOf(HasSubstr("text: note"), Not(HasSubstr("instruction"))));
  EXPECT_TRUE(LoadText(ToYaml(*texts)));
}

TEST(DataRecipe, WhatBecomesOfLongRecordsHasNoDefault) {
  for (const char* recipe : {"lora.yaml", "dp-lora.yaml"}) {
    ExpectFault(Load(recipe, {"data.truncation=null"}), HasSubstr("'data.truncation' is missing"));
  }
  for (const char* name : {"right", "left", "skip", "error"}) {
    EXPECT_TRUE(Load("dp-lora.yaml", {"data.truncation=" + std::string(name)}));
  }
  ExpectFault(Load("lora.yaml", {"data.truncation=end"}), HasSubstr("right, left, skip or error"));
  ExpectFault(Load("lora.yaml", {"data.truncation=[right]"}), HasSubstr("must be a text"));
}

TEST(DataRecipe, RefusesWhatItsFormatDoesNotRead) {
  ExpectFault(Load("lora.yaml", {"data.format=json"}), HasSubstr("chat, instruction, text or csv"));
  for (const auto& [format, column] :
       std::vector<std::pair<std::string, std::string>>{{"chat", "text"},
                                                        {"chat", "output"},
                                                        {"instruction", "text"},
                                                        {"text", "input"},
                                                        {"text", "unit"}}) {
    ExpectFault(Load("lora.yaml", {"data.format=" + format, "data.columns." + column + "=x"}),
                HasSubstr("'data.columns." + column + "' does not go with"));
  }
  ExpectFault(Load("lora.yaml", {"data.format=csv", "data.columns={text: a, output: b}"}),
              HasSubstr("csv and a text column"));
  EXPECT_TRUE(Load("lora.yaml", {"data.format=text", "data.columns={text: a, unit: b}"}));
  EXPECT_TRUE(Load("lora.yaml", {"data.format=chat", "data.columns={unit: b}"}));
  ExpectFault(Load("lora.yaml", {"data.column=x"}), HasSubstr("nearest is 'data."));
}

TEST(DataRecipe, PackingIsRefusedWithPrivacyAndSaysWhy) {
  ExpectFault(
      Load("dp-lora.yaml", {"data.packing=true"}),
      AllOf(HasSubstr("'data.packing' may not stand with 'privacy'"), HasSubstr("roundings")));
  ExpectFault(Load("dp-matrix-factorization.yaml", {"data.packing=true"}), HasSubstr("packing"));
  EXPECT_TRUE(Load("dp-lora.yaml", {"data.packing=false"}));
}

TEST(DataRecipe, UsersNeedRecordsThatNameThem) {
  ExpectFault(Load("dp-lora.yaml", {"privacy.unit=user", "data.format=text"}),
              HasSubstr("lines of plain text do not"));
  for (const char* format : {"chat", "instruction", "csv"}) {
    EXPECT_TRUE(Load("dp-lora.yaml", {"privacy.unit=user", "data.format=" + std::string(format)}));
  }
  EXPECT_TRUE(
      Load("dp-lora.yaml", {"privacy.unit=user", "data.format=text", "data.columns.text=text"}));
  ExpectFault(Load("dp-lora.yaml", {"privacy.max_records_per_unit=3"}),
              HasSubstr("goes with 'privacy.unit' user alone"));
  const auto few = Load("dp-lora.yaml", {"privacy.unit=user", "privacy.max_records_per_unit=3"});
  ASSERT_TRUE(few);
  EXPECT_EQ(few->privacy->max_records_per_unit, 3);
  EXPECT_THAT(ToYaml(*few), HasSubstr("max_records_per_unit: 3"));
}

// Steps of a run that is gone on with must come in the order that it began with.
TEST(DataRecipe, ACheckpointIsOfItsOrder) {
  EXPECT_THAT(PinnedRecipe(*Load("lora.yaml", {})), HasSubstr("order: feistel-1"));
}

}  // namespace
}  // namespace cloister::trainer
