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

}  // namespace
}  // namespace cloister::trainer
