#include "base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mapped_file.h"
#include "tests/base/temporary_folder.h"

namespace cloister::base {
namespace {

using testing::ReadBytes;
using testing::TemporaryFolder;
using testing::WriteBytes;

using Creator = Result<AtomicFile> (*)(const std::filesystem::path&, unsigned);

// Both ways of making the file: without a name, and with a temporary one where that cannot be.
class AtomicFileOf : public ::testing::TestWithParam<Creator> {};
INSTANTIATE_TEST_SUITE_P(BothWays, AtomicFileOf,
                         ::testing::Values(&AtomicFile::Create, &AtomicFile::CreateNamed));

// A process of its own that writes to `path` and is killed before it commits. Returns its id.
pid_t KilledWriter(Creator create, const std::filesystem::path& path) {
  const pid_t child = ::fork();
  if (child == 0) {
    auto file = create(path, AtomicFile::kPublicMode);
    if (file && file->Write("half")) ::raise(SIGKILL);
    ::_exit(1);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  return child;
}

TEST(AtomicFile, AKilledWriterLeavesNothing) {
  TemporaryFolder folder;
  const int fd = ::open(folder.path().c_str(), O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
  if (fd < 0) GTEST_SKIP() << "this file system has no files without names";
  ::close(fd);
  KilledWriter(&AtomicFile::Create, folder / "a");
  EXPECT_EQ(folder.entries(), 0);
}

TEST(AtomicFile, WhatAKilledWriterLeftUnderANameIsRemovedByTheNextOne) {
  TemporaryFolder folder;
  WriteBytes(folder / ("a.tmp." + std::to_string(::getppid())), "of a living process");
  WriteBytes(folder / "a.tmp.1x", "of a person");
  WriteBytes(folder / "b.tmp.1", "of another file");
  KilledWriter(&AtomicFile::CreateNamed, folder / "a");
  EXPECT_EQ(folder.entries(), 4);
  auto file = AtomicFile::CreateNamed(folder / "a");
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->Commit());
  EXPECT_EQ(folder.entries(), 4);  // the three and "a"
  EXPECT_TRUE(std::filesystem::exists(folder / "a"));
}

TEST(RemoveAbandonedTemporaries, RemovesFoldersOfDeadProcessesToo) {
  TemporaryFolder folder;
  const pid_t dead = KilledWriter(&AtomicFile::Create, folder / "a");
  const auto left = folder / ("out.tmp." + std::to_string(dead));
  std::filesystem::create_directories(left / "in it");
  RemoveAbandonedTemporaries(folder / "out");
  EXPECT_FALSE(std::filesystem::exists(left));
}

TEST_P(AtomicFileOf, AppearsWholeOnCommit) {
  TemporaryFolder folder;
  auto file = GetParam()(folder / "a", AtomicFile::kPublicMode);
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->Write("one "));
  ASSERT_TRUE(file->Write("two"));
  EXPECT_FALSE(std::filesystem::exists(folder / "a"));
  ASSERT_TRUE(file->Commit());
  EXPECT_EQ(ReadBytes(folder / "a"), "one two");
  EXPECT_EQ(file->size(), 7u);
  EXPECT_EQ(folder.entries(), 1);
}

TEST_P(AtomicFileOf, LeavesTheOlderFileWhenDroppedBeforeCommitAndReplacesItAfter) {
  TemporaryFolder folder;
  WriteBytes(folder / "a", "older");
  {
    auto file = GetParam()(folder / "a", AtomicFile::kPublicMode);
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->Write("newer"));
  }
  EXPECT_EQ(ReadBytes(folder / "a"), "older");
  EXPECT_EQ(folder.entries(), 1);
  auto file = GetParam()(folder / "a", AtomicFile::kPublicMode);
  ASSERT_TRUE(file && file->Write("newer") && file->Commit());
  EXPECT_EQ(ReadBytes(folder / "a"), "newer");
  EXPECT_EQ(folder.entries(), 1);
}

TEST_P(AtomicFileOf, RemovesItsTemporaryFileWhenTheRenameFails) {
  TemporaryFolder folder;
  {
    auto file = GetParam()(folder / "a", AtomicFile::kPublicMode);
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->Write("text"));
    std::filesystem::create_directories(folder / "a" / "in it");  // a folder gets in the way
    EXPECT_FALSE(file->Commit());
  }
  EXPECT_EQ(folder.entries(), 1);
}

TEST_P(AtomicFileOf, TellsOfAFolderInTheWayBeforeTheWork) {
  TemporaryFolder folder;
  std::filesystem::create_directories(folder / "a");
  const auto file = GetParam()(folder / "a", AtomicFile::kPublicMode);
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().message.find("a folder has this name: remove it"), std::string::npos);
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

// A read that fails (EIO here) is not the file's end.
TEST(ReadFile, AFailingReadIsAnErrorNotAShortFile) {
  const auto text = ReadFile("/proc/self/mem");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, Code::kDataLoss);
}

TEST(ReadRegularFile, WaitsForNothingAndReadsNoDevice) {
  TemporaryFolder folder;
  WriteBytes(folder / "a", "12345");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(*ReadRegularFile(folder / "a"), "12345");
  EXPECT_EQ(ReadRegularFile(folder / "absent").error().code, Code::kNotFound);
  for (const std::filesystem::path& other :
       {folder / "pipe", folder.path(), std::filesystem::path("/dev/zero")}) {
    const auto text = ReadRegularFile(other, 100);
    ASSERT_FALSE(text) << other;
    EXPECT_EQ(text.error().message, other.string() + " is no regular file: put a file there");
  }
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
