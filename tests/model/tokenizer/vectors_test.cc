// llama.cpp's vectors: vocabularies of real models, texts, and the ids that the models' own
// tokenizers give them.
#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

#include "base/file.h"
#include "model/gguf/gguf_file.h"
#include "model/tokenizer/gguf_tokenizer.h"
#include "model/tokenizer/tokenizer_json.h"
#include "tests/base/temporary_folder.h"

namespace cloister::model {
namespace {

using Ids = std::vector<TokenId>;
namespace fs = std::filesystem;

struct Row {
  std::string text;
  Ids ids;
};

std::vector<Row> RowsOf(const fs::path& vocabulary) {
  const std::string separator = "\n__ggml_vocab_test__\n";
  std::string texts = testing::ReadBytes(vocabulary.string() + ".inp");
  std::istringstream lines(testing::ReadBytes(vocabulary.string() + ".out"));
  std::vector<Row> rows;
  for (std::string line; std::getline(lines, line);) {
    Row row;
    std::istringstream numbers(line);
    for (TokenId id = 0; numbers >> id;) row.ids.push_back(id);
    const std::size_t end = texts.find(separator);
    row.text = texts.substr(0, end);
    texts = end == std::string::npos ? "" : texts.substr(end + separator.size());
    rows.push_back(std::move(row));
  }
  return rows;
}

// Those of this repository and, where they are given, others of the same form.
std::vector<fs::path> Vocabularies() {
  std::vector<fs::path> folders = {CLOISTER_VOCABULARIES};
  if (const char* fixtures = std::getenv("CLOISTER_FIXTURES")) {
    folders.push_back(fs::path(fixtures) / ".." / "vectors" / "tokenizer");
  }
  std::vector<fs::path> files;
  for (const fs::path& folder : folders) {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(folder, none)) {
      if (entry.path().extension() == ".gguf" && fs::exists(entry.path().string() + ".out")) {
        files.push_back(entry.path());
      }
    }
  }
  return files;
}

TokenizerData Open(const fs::path& path) {
  const auto file = GgufFile::Open(path);
  EXPECT_TRUE(file) << file.error().message;
  auto data = TokenizerDataFromGguf(*file);
  EXPECT_TRUE(data) << data.error().message;
  return *std::move(data);
}

void ExpectRows(const Tokenizer& tokenizer, const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    const Ids ids = tokenizer.Encode(row.text, {});
    EXPECT_EQ(ids, row.ids) << ::testing::PrintToString(row.text);
    EXPECT_EQ(*tokenizer.Decode(ids), row.text);
    const auto decoder = tokenizer.NewStreamingDecoder(false);
    std::string streamed;
    for (const TokenId id : ids) streamed += *decoder->Add(id);
    EXPECT_EQ(streamed + decoder->Finish(), row.text);
  }
}

TEST(Vocabularies, EveryRowIsEqualAndComesBack) {
  const std::vector<fs::path> files = Vocabularies();
  ASSERT_GE(files.size(), 4U) << "in " << CLOISTER_VOCABULARIES;
  for (const fs::path& path : files) {
    SCOPED_TRACE(path.string());
    const std::vector<Row> rows = RowsOf(path);
    ASSERT_GE(rows.size(), 40U);
    ExpectRows(**MakeTokenizer(Open(path)), rows);
  }
}

TEST(Vocabularies, SoTheyDoWrittenAsTokenizerJsonAndAsGguf) {
  testing::TemporaryFolder folder;
  for (const fs::path& path : Vocabularies()) {
    SCOPED_TRACE(path.string());
    const TokenizerData data = Open(path);
    const std::vector<Row> rows = RowsOf(path);
    const auto text = TokenizerJson(data);
    ASSERT_TRUE(text) << text.error().message;
    ASSERT_TRUE(base::WriteFile(folder / "tokenizer.json", text->dump()));
    ASSERT_TRUE(
        base::WriteFile(folder / "tokenizer_config.json", TokenizerConfigJson(data, "").dump()));
    const auto from_folder = TokenizerDataFromFolder(folder.path());
    ASSERT_TRUE(from_folder) << from_folder.error().message;
    EXPECT_EQ(from_folder->adds_bos, data.adds_bos);
    const auto tokenizer = *MakeTokenizer(*from_folder);
    for (const Row& row : rows) EXPECT_EQ(tokenizer->Encode(row.text, {}), row.ids);

    GgufMetadata metadata;
    metadata.AddString("general.architecture", "llama");
    const base::Status added =
        AddTokenizerToGguf(*from_folder, static_cast<std::int64_t>(data.pieces.size()), metadata);
    ASSERT_TRUE(added) << added.error().message;
    ASSERT_TRUE((*NewGguf(folder / "vocabulary.gguf", metadata, {}))->Commit());
    const TokenizerData back = Open(folder / "vocabulary.gguf");
    EXPECT_EQ(back.adds_bos, data.adds_bos);
    EXPECT_EQ(back.kinds, data.kinds);
    const auto again = *MakeTokenizer(back);
    for (const Row& row : rows) EXPECT_EQ(again->Encode(row.text, {}), row.ids);
  }
}

}  // namespace
}  // namespace cloister::model
