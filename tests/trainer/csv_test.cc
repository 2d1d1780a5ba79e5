#include "trainer/data/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace cloister::trainer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Fields = std::vector<std::string>;

TEST(CsvRow, ReadsWhatTheSpecificationShows) {  // RFC 4180, section 2
  EXPECT_THAT(ParseCsvRow("aaa,bbb,ccc\r\n").value(), ElementsAre("aaa", "bbb", "ccc"));
  EXPECT_THAT(ParseCsvRow("zzz,yyy,xxx").value(), ElementsAre("zzz", "yyy", "xxx"));
  EXPECT_THAT(ParseCsvRow("\"aaa\",\"b\r\nbb\",\"ccc\"\r\n").value(),
              ElementsAre("aaa", "b\r\nbb", "ccc"));
  EXPECT_THAT(ParseCsvRow("\"aaa\",\"b\"\"bb\",\"ccc\"").value(),
              ElementsAre("aaa", "b\"bb", "ccc"));
  EXPECT_THAT(ParseCsvRow(" a , b,\n").value(), ElementsAre(" a ", " b", ""));
  EXPECT_THAT(ParseCsvRow("\"\"").value(), ElementsAre(""));
  EXPECT_THAT(ParseCsvRow("\"\"\"\"\n").value(), ElementsAre("\""));
  EXPECT_THAT(ParseCsvRow("").value(), ElementsAre(""));
}

TEST(CsvRow, SaysWhatIsWrong) {
  for (const auto& [row, what] : std::vector<std::pair<std::string, std::string>>{
           {"a\"b,c", "without quotes"},
           {"a\rb,c", "without quotes"},
           {"a,\"b\"c", "behind a closing quote"},
           {"a,\"b\" ,c", "behind a closing quote"},
           {"a,\"bc", "never closed"},
           {"\"a\"\"", "never closed"},
           {std::string(kMaxCsvFields, ','), "too many fields"}}) {
    const auto fields = ParseCsvRow(row);
    ASSERT_FALSE(fields) << row;
    EXPECT_EQ(fields.error().code, base::Code::kDataLoss);
    EXPECT_THAT(fields.error().message, HasSubstr(what));
  }
}

TEST(CsvRow, EndsBehindTheLastQuote) {
  EXPECT_EQ(CsvRowSize("a,b\nc", false), 4U);
  EXPECT_EQ(CsvRowSize("a,\"b\nc\"\r\nd", false), 9U);
  EXPECT_EQ(CsvRowSize("\"a\"\"\n\"\nd", false), 7U);
  EXPECT_EQ(CsvRowSize("a,b", false), std::nullopt);
  EXPECT_EQ(CsvRowSize("a,b", true), 3U);
  EXPECT_EQ(CsvRowSize("\"a\n", false), std::nullopt);
  // More may follow the last quote: another one, that writes it.
  EXPECT_EQ(CsvRowSize("\"a\"", false), std::nullopt);
  EXPECT_EQ(CsvRowSize("a\"\nb\"", false), 3U);  // within a field it opens nothing
}

// Whatever the fields say, writing and reading them back gives them again, row for row.
TEST(CsvRow, ReadsBackAnyFieldsThatAreWritten) {
  std::mt19937 random(7);
  std::printf("seed: 7\n");
  const std::string letters = "a,\"\r\n ";
  std::string text;
  std::vector<Fields> rows;
  for (int row = 0; row < 2000; ++row) {
    Fields& fields = rows.emplace_back(1 + random() % 4);
    for (std::string& field : fields) {
      for (auto size = random() % 6; size > 0; --size) field += letters[random() % letters.size()];
    }
    for (std::size_t i = 0; i < fields.size(); ++i) {
      text += i > 0 ? ",\"" : "\"";
      for (const char c : fields[i]) text += c == '"' ? std::string("\"\"") : std::string(1, c);
      text += '"';
    }
    text += random() % 2 == 0 ? "\n" : "\r\n";
  }
  std::string_view rest = text;
  for (const Fields& fields : rows) {
    const auto size = CsvRowSize(rest, false);
    ASSERT_TRUE(size);
    EXPECT_EQ(ParseCsvRow(rest.substr(0, *size)).value(), fields);
    rest.remove_prefix(*size);
  }
  EXPECT_TRUE(rest.empty());
}

}  // namespace
}  // namespace cloister::trainer
