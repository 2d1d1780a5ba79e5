#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mapped_file.h"
#include "tests/base/temporary_folder.h"

namespace cloister::base {
namespace {

using testing::ReadBytes;
using testing::TemporaryFolder;
using testing::WriteBytes;

TEST(AtomicFile, AppearsWholeOnCommit) {
  TemporaryFolder folder;
  auto file = AtomicFile::Create(folder / "a");
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->Write("one "));
  ASSERT_TRUE(file->Write("two"));
  EXPECT_FALSE(std::filesystem::exists(folder / "a"));
  ASSERT_TRUE(file->Commit());
  EXPECT_EQ(ReadBytes(folder / "a"), "one two");
  EXPECT_EQ(file->size(), 7u);
  EXPECT_EQ(folder.entries(), 1);
}

TEST(AtomicFile, LeavesTheOlderFileWhenDroppedBeforeCommit) {
  TemporaryFolder folder;
  WriteBytes(folder / "a", "older");
  {
    auto file = AtomicFile::Create(folder / "a");
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->Write("newer"));
  }
  EXPECT_EQ(ReadBytes(folder / "a"), "older");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(AtomicFile, RemovesItsTemporaryFileWhenTheRenameFails) {
  TemporaryFolder folder;
  std::filesystem::create_directories(folder / "a" / "in it");  // a folder stands in the way
  auto file = AtomicFile::Create(folder / "a");
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->Write("text"));
  EXPECT_FALSE(file->Commit());
  EXPECT_EQ(folder.entries(), 1);
}

TEST(AtomicFile, KeepsPrivateFilesPrivate) {
  TemporaryFolder folder;
  ASSERT_TRUE(WriteFile(folder / "key", "secret", AtomicFile::kPrivateMode));
  struct stat info {};
  ASSERT_EQ(::stat((folder / "key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(AtomicFile, NamesTheFolderThatIsMissing) {
  TemporaryFolder folder;
  const auto file = AtomicFile::Create(folder / "no" / "a");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, Code::kNotFound);
  EXPECT_NE(file.error().message.find("no/a"), std::string::npos);
}

TEST(ReadFile, TellsAbsentFromTooLong) {
  TemporaryFolder folder;
  WriteBytes(folder / "a", "12345");
  EXPECT_EQ(ReadFile(folder / "b").error().code, Code::kNotFound);
  EXPECT_EQ(ReadFile(folder / "a", 4).error().code, Code::kDataLoss);
  EXPECT_EQ(ReadFile(folder.path()).error().code, Code::kDataLoss);
  EXPECT_EQ(*ReadFile(folder / "a", 5), "12345");
}

TEST(MappedFile, MapsTheBytesAndSurvivesMoves) {
  TemporaryFolder folder;
  WriteBytes(folder / "a", "bytes");
  auto first = MappedFile::Open(folder / "a");
  ASSERT_TRUE(first);
  MappedFile second = *std::move(first);
  MappedFile third = std::move(second);
  ASSERT_EQ(third.bytes().size(), 5u);
  EXPECT_EQ(static_cast<char>(third.bytes()[4]), 's');
}

TEST(MappedFile, RefusesWhatIsNoReadableFile) {
  TemporaryFolder folder;
  WriteBytes(folder / "empty", "");
  EXPECT_EQ(MappedFile::Open(folder / "absent").error().code, Code::kNotFound);
  EXPECT_EQ(MappedFile::Open(folder.path()).error().code, Code::kNotFound);
  EXPECT_EQ(MappedFile::Open(folder / "empty").error().code, Code::kDataLoss);
}

TEST(MappedFile, DoesNotHangOnAPipe) {
  TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(MappedFile::Open(folder / "pipe").error().code, Code::kNotFound);
}

}  // namespace
}  // namespace cloister::base
