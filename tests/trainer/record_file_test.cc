#include "trainer/data/record_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/file.h"
#include "tests/base/own_path.h"
#include "trainer/data/pass_progress.h"

namespace cloister::trainer {
namespace {

using testing::HasSubstr;

const std::string kGood =
    R"({"id": "1", "messages": [{"role": "user", "content": "ab"}, {"role": "assistant", "content": "cd"}]})";

const DataLayout kInstructions{.format = DataFormat::kInstruction};
const DataLayout kLines{.format = DataFormat::kText};
const DataLayout kTexts{.format = DataFormat::kText, .columns = {.text = "text"}};
const DataLayout kTable{.format = DataFormat::kCsv};
const DataLayout kTextTable{.format = DataFormat::kCsv, .columns = {.text = "note"}};

std::filesystem::path Write(const std::string& text) {
  static const OwnFile file("record_file_test");
  EXPECT_TRUE(base::WriteFile(file.path(), text));
  return file.path();
}

base::Result<RecordFile> Open(const std::string& text, const DataLayout& layout = {},
                              bool units = false) {
  return RecordFile::Open(Write(text), {.layout = layout, .units = units});
}

// "question|answer", or the text.
std::string Said(const RecordFile& file, std::int64_t index) {
  const auto record = file.Read(index);
  if (!record) return record.error().message;
  if (record->messages.is_null()) return record->text;
  std::string said;
  for (const auto& message : record->messages) {
    said += (said.empty() ? "" : "|") + message["content"].get<std::string>();
  }
  return said;
}

security::Sha256Digest Hash(const RecordFile& file, std::int64_t index) {
  return file.index().At(index)->hash;
}

TEST(RecordFile, NamesFileLineAndFieldOfABrokenLine) {
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
           {std::string(RecordScanner::kMaxBytes + 1, 'x'), "line of more than"},
           {std::string(5 * RecordScanner::kMaxBytes, 'x'), "line of more than"}}) {
    const auto file = Open(kGood + "\n\n" + line + "\n" + kGood + "\n");
    ASSERT_FALSE(file) << line.substr(0, 40);
    EXPECT_EQ(file.error().code, base::Code::kDataLoss);
    EXPECT_THAT(file.error().message, HasSubstr("record_file_test:3: "));
    EXPECT_THAT(file.error().message, HasSubstr(what));
  }
  EXPECT_EQ(RecordFile::Open("/nowhere.jsonl", {}).error().code, base::Code::kNotFound);
  EXPECT_EQ(RecordFile::Open("/dev/zero", {}).error().code, base::Code::kNotFound);
  EXPECT_EQ(Open("\n\n").error().code, base::Code::kDataLoss);
  EXPECT_EQ(Open("").error().code, base::Code::kDataLoss);
}

TEST(RecordFile, TheFirstOfTwoFaultsIsNamed) {
  const std::string wide(RecordScanner::kMaxBytes + 1, 'x');
  EXPECT_THAT(Open(kGood + "\n[]\n" + wide + "\n").error().message, HasSubstr(":2: "));
  EXPECT_THAT(Open(kGood + "\n" + wide + "\n[]\n").error().message, HasSubstr(":2: "));
}

TEST(RecordFile, RecordsAreFoundAgainByTheirOffsets) {
  const std::string other = R"({"messages": [{"role": "user", "content": "zz"}]})";
  const auto file = Open("\xEF\xBB\xBF\n" + kGood + "\r\n  \n" + other);  // no last newline
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->size(), 2);
  EXPECT_EQ(Said(*file, 1), "zz");
  EXPECT_EQ(Said(*file, 0), "ab|cd");
  EXPECT_THAT(file->Where(1), testing::EndsWith(":4"));
}

// Written over in place: a file that takes its name is another one.
void Overwrite(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::trunc) << text;
}

TEST(RecordFile, NoticesAFileThatChangedSinceItWasHashed) {
  const std::string line = R"({"unit": "me", )" + kGood.substr(1) + "\n", text = line + line;
  for (const std::string change : {"ab", "cd", "me"}) {
    const auto path = Write(text);
    const auto file = RecordFile::Open(path, {.units = true});
    ASSERT_TRUE(file);
    EXPECT_EQ(Said(*file, 1), "ab|cd");
    std::string changed = text;
    changed[changed.rfind("\"" + change + "\"") + 1] = 'x';
    Overwrite(path, changed);
    EXPECT_EQ(Said(*file, 0), "ab|cd");
    EXPECT_EQ(file->Read(1).error().code, base::Code::kDataLoss);
    EXPECT_THAT(Said(*file, 1), HasSubstr(":2: changed since the run began"));
  }
  const auto path = Write(text);
  const auto file = RecordFile::Open(path, {});
  Overwrite(path, line);
  EXPECT_THAT(Said(*file, 1), HasSubstr("changed"));  // cut short
  Overwrite(path, text + "no JSON");
  EXPECT_EQ(Said(*file, 1), "ab|cd");  // what was added is not seen
}

TEST(RecordFile, GoesOnWithTheFileThatItOpened) {
  const auto file = Open(kGood);
  Write("no JSON");  // renamed over it
  EXPECT_EQ(Said(*file, 0), "ab|cd");
}

TEST(RecordFile, AHashIsOfTheConversationAlone) {
  const std::string renamed =
      R"({"messages":[{"content":"ab","role":"user"},{"role":"assistant","content":"cd"}],"id":"9"})";
  const std::string moved =
      R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "bcd"}]})";
  const auto file = Open(kGood + "\n" + renamed + "\n" + moved);
  ASSERT_TRUE(file);
  EXPECT_EQ(Hash(*file, 0), Hash(*file, 1));
  EXPECT_NE(Hash(*file, 0), Hash(*file, 2));
}

TEST(RecordFile, AnInstructionIsAConversation) {
  const auto chat = Open(R"({"messages": [{"role": "user", "content": "Add\n1 2"}, )"
                         R"({"role": "assistant", "content": "3"}]})");
  const auto file = Open(R"({"instruction": "Add", "input": "1 2", "output": "3"}
{"output":"3","input":"","instruction":"Add\n1 2","source":"x"}
{"instruction": "Add", "output": "3", "history": []}
{"system": "Be brief", "instruction": "Add", "input": null, "output": "3"})",
                         kInstructions);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(Said(*file, 0), "Add\n1 2|3");
  EXPECT_EQ(Said(*file, 2), "Add|3");
  EXPECT_EQ(Said(*file, 3), "Be brief|Add|3");
  EXPECT_EQ(file->Read(3)->messages[0]["role"], "system");
  // Written in another format it is the same record: that buys no fresh budget.
  EXPECT_EQ(Hash(*file, 0), Hash(*chat, 0));
  EXPECT_EQ(Hash(*file, 1), Hash(*chat, 0));
  for (const auto& [line, what] : std::vector<std::pair<std::string, std::string>>{
           {R"({"instruction": "a"})", "'output' is missing"},
           {R"({"output": "a"})", "'instruction' is missing"},
           {R"({"instruction": "a", "output": 3})", "'output' must be a string"},
           {R"({"instruction": "a", "input": [], "output": "b"})", "'input' must be a string"},
           {R"({"instruction": "a", "output": "b", "history": [["c", "d"]]})", "'history'"}}) {
    EXPECT_THAT(Open(line, kInstructions).error().message,
                testing::AllOf(HasSubstr("record_file_test:1: "), HasSubstr(what)));
  }
}

TEST(RecordFile, FieldsGoByTheNamesThatTheRecipeGives) {
  const auto file =
      Open(R"({"question": "Add", "answer": "3", "patient": "ann"})",
           {.format = DataFormat::kInstruction,
            .columns = {.instruction = "question", .output = "answer", .unit = "patient"}},
           true);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(Said(*file, 0), "Add|3");
  EXPECT_EQ(file->units(), std::vector{HashOfUnit("ann")});
}

TEST(RecordFile, ALineOfTextIsARecord) {
  const auto file = Open("one {\"two\": \n\n \t\r\nthree, \"four\"\r\n", kLines);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->size(), 2);
  EXPECT_EQ(Said(*file, 0), "one {\"two\": ");
  EXPECT_EQ(Said(*file, 1), "three, \"four\"");
  EXPECT_THAT(file->Where(1), testing::EndsWith(":4"));
  EXPECT_THAT(Open("fine\nnot \xff\n", kLines).error().message,
              testing::AllOf(HasSubstr("record_file_test:2: "), HasSubstr("UTF-8")));
}

TEST(RecordFile, ATextMayStandInAFieldOrAColumn) {
  const auto json = Open(R"({"text": "a\nb", "unit": "ann"})", kTexts, true);
  ASSERT_TRUE(json) << json.error().message;
  EXPECT_EQ(Said(*json, 0), "a\nb");
  EXPECT_EQ(json->units().size(), 1U);
  const auto csv = Open("unit,note\nann,\"a\nb\"\n", kTextTable, true);
  ASSERT_TRUE(csv) << csv.error().message;
  EXPECT_EQ(Said(*csv, 0), "a\nb");
  EXPECT_EQ(Hash(*csv, 0), Hash(*json, 0));
  EXPECT_EQ(csv->units(), json->units());
  // A text is no conversation that says the same.
  const auto chat = Open(R"({"messages": [{"role": "user", "content": "a\nb"}]})");
  EXPECT_NE(Hash(*chat, 0), Hash(*json, 0));
  EXPECT_THAT(Open("{\"body\": \"a\"}", kTexts).error().message, HasSubstr("'text' is missing"));
}

TEST(RecordFile, RowsOfATableGoByTheirHeader) {
  const auto file = Open(
      "\xEF\xBB\xBFoutput,unit,more,instruction\r\n3,ann,,\"Add, please:\n1 "
      "2\"\r\n\r\n4,bob,x,Say\n",
      kTable, true);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->size(), 2);
  EXPECT_EQ(Said(*file, 0), "Add, please:\n1 2|3");
  EXPECT_EQ(Said(*file, 1), "Say|4");
  EXPECT_THAT(file->Where(0), testing::EndsWith(":2"));
  EXPECT_THAT(file->Where(1), testing::EndsWith(":5"));
  EXPECT_EQ(file->units().size(), 2U);
}

TEST(RecordFile, NamesTheLineThatABrokenRowBeginsOn) {
  const std::string header = "instruction,output\n", row = "\"a\nb\",c\n";
  for (const auto& [broken, what] : std::vector<std::pair<std::string, std::string>>{
           {"a,b,c\n", "another number of fields"},
           {"a\n", "another number of fields"},
           {"a\"b,c\n", "without quotes"},
           {"\"a,b\nc,d\n", "never closed"},
           {"a,\xff\n", "UTF-8"},
           {"\"" + std::string(RecordScanner::kMaxBytes + 1, '\n') + "\",b", "row of more than"}}) {
    const auto file = Open(header + row + broken, kTable);
    ASSERT_FALSE(file) << broken.substr(0, 20);
    EXPECT_EQ(file.error().code, base::Code::kDataLoss);
    EXPECT_THAT(file.error().message,
                testing::AllOf(HasSubstr("record_file_test:4: "), HasSubstr(what)));
  }
  EXPECT_THAT(Open("instruction,answer\na,b\n", kTable).error().message,
              HasSubstr(":1: the header has no column 'output'"));
  EXPECT_THAT(Open("output,instruction,output\na,b,c\n", kTable).error().message,
              HasSubstr("column 'output' twice"));
  EXPECT_THAT(Open(header, kTable).error().message, HasSubstr("no record"));
  EXPECT_THAT(Open("", kTable).error().message, HasSubstr("record_file_test:1: "));
}

// A total tells how many records there are.
TEST(PassProgress, OfPrivateDataIsNotSaidWhereItMayBeKept) {
  const auto said = [](std::uint64_t total, base::Timing timing) {
    testing::internal::CaptureStderr();
    PassProgress progress("reading", total, /*shown_from=*/64, "MiB", timing);
    for (std::uint64_t done = 0; done <= total; ++done) progress.Update(done);
    progress.Finish();
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(said(100, base::Timing::kHidden), "");
  EXPECT_THAT(said(100, base::Timing::kShown), HasSubstr("100/100 MiB"));
  EXPECT_EQ(said(63, base::Timing::kShown), "");
}

// More records than are parsed together or fit into the memory of the index.
TEST(RecordFile, AnIndexOnDiskFindsTheSameRecords) {
  std::string text;
  for (int i = 0; i < 50'000; ++i) {
    text += R"({"unit": "u)" + std::to_string(i % 100) + R"(", "instruction": "say", "output": ")" +
            std::to_string(i) + "\"}\n";
  }
  const auto path = Write(text);
  const RecordFile::Options small{
      .layout = kInstructions, .units = true, .index_memory = 56 * 1000};
  const auto file = RecordFile::Open(path, small);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->size(), 50'000);
  ASSERT_EQ(file->units().size(), 100U);
  for (std::int64_t i = 0; i < file->size(); i += 997) {
    EXPECT_EQ(Said(*file, i), "say|" + std::to_string(i));
    EXPECT_EQ(file->index().At(i)->line, static_cast<std::uint64_t>(i + 1));
  }
  EXPECT_EQ(Said(*file, 49'999), "say|49999");
  EXPECT_EQ(Said(*file, 48'999), "say|48999");
}

}  // namespace
}  // namespace cloister::trainer
