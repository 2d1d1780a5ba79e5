#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace cloister {

// A path in the system's folder for temporary files that no other process has: the tests of two
// checkouts may run at the same time.
inline std::filesystem::path OwnPath(const std::string& name) {
  return std::filesystem::path(::testing::TempDir()) /
         ("cloister_" + std::to_string(::getpid()) + "_" + name);
}

// The same for the test that runs.
inline std::filesystem::path OwnTestPath() {
  return OwnPath(::testing::UnitTest::GetInstance()->current_test_info()->name());
}

}  // namespace cloister
