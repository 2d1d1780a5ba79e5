#include "trainer/run/output_folder.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "tests/base/own_path.h"

namespace cloister::trainer {
namespace {

namespace fs = std::filesystem;

using OutputFolderTest = InOwnFolder;

TEST_F(OutputFolderTest, GoingOnRemovesWhatKilledProcessesLeft) {
  const fs::path out = folder_ / "out";
  const auto left_by = [&](const std::string& who) {
    fs::path left = out;
    left += ".tmp." + who;
    return left;
  };
  constexpr const char* kNobody = "999999999";  // beyond the numbers that processes have
  const std::string parent = std::to_string(::getppid()), own = std::to_string(::getpid());
  for (const std::string& who : {std::string(kNobody), parent, own, std::string("mine")}) {
    fs::create_directory(left_by(who));
  }
  EXPECT_FALSE(OutputFolder::Create(out, false)) << "it is not known whose they are";
  EXPECT_TRUE(fs::exists(left_by(kNobody)));
  {
    const auto made = OutputFolder::Create(out, true);
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_TRUE(fs::exists(left_by(kNobody))) << "who goes on may still be refused";
    made->RemoveAbandoned();
    EXPECT_FALSE(fs::exists(left_by(kNobody)));
    EXPECT_TRUE(fs::exists(left_by(parent)));
    EXPECT_TRUE(fs::exists(left_by("mine")));
  }
  EXPECT_FALSE(fs::exists(left_by(own)));
}

// Before a run spends anything; what it ends with is not lost to a disk that others filled.
TEST_F(OutputFolderTest, RoomIsTakenBeforeTheRunBegins) {
  auto made = OutputFolder::Create(folder_ / "out");
  ASSERT_TRUE(made) << made.error().message;
  const base::Status refused = made->Reserve(std::uint64_t{1} << 60);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kResourceExhausted);
  EXPECT_TRUE(fs::is_empty(made->path()));
  ASSERT_TRUE(made->Reserve(100'000));
  const auto taken = fs::directory_iterator(made->path())->path();
  EXPECT_GE(fs::file_size(taken), 100'000U);
  made->Release();
  EXPECT_TRUE(fs::is_empty(made->path()));
  ASSERT_TRUE(made->Reserve(100'000));
  ASSERT_TRUE(made->Commit());
  EXPECT_TRUE(fs::is_empty(folder_ / "out"));
}

}  // namespace
}  // namespace cloister::trainer
