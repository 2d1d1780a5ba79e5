#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <system_error>

namespace cloister {

// A path in the system's folder for temporary files that no other process has: the tests of two
// checkouts may run at the same time.
inline std::filesystem::path OwnPath(const std::string& name) {
  return std::filesystem::path(::testing::TempDir()) /
         ("cloister_" + std::to_string(::getpid()) + "_" + name);
}

// Such a file or folder, removed with this.
class OwnFile {
 public:
  explicit OwnFile(const std::string& name) : path_(OwnPath(name)) {}
  ~OwnFile() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  OwnFile(const OwnFile&) = delete;
  OwnFile& operator=(const OwnFile&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// A test with an empty folder that no other has; it goes with the test.
class InOwnFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  const std::filesystem::path folder_ =
      OwnPath(::testing::UnitTest::GetInstance()->current_test_info()->name());
};

}  // namespace cloister
