#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "tests/trainer/tiny_run.h"

namespace cloister::trainer {

namespace fs = std::filesystem;
using testing::HasSubstr;

// Runs that end and go on.
class ResumeTest : public TinyRun {
 protected:
  std::vector<std::int64_t> Rounds() const {
    std::vector<std::int64_t> rounds;
    const std::vector<dp::Ledger::Row> rows = Rows();
    for (const auto& row : rows) rounds.push_back(row.spend.key.round);
    std::sort(rounds.begin(), rounds.end());
    return rounds;
  }
  std::set<std::string> Jobs() const {
    std::set<std::string> jobs;
    const std::vector<dp::Ledger::Row> rows = Rows();
    for (const auto& row : rows) jobs.insert(row.spend.key.job);
    return jobs;
  }
  void ExpectRefusedToResume(base::Code code, const std::string& words) {
    const base::Status status = Run(kSteps, true);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, code) << status.error().message;
    EXPECT_THAT(status.error().message, HasSubstr(words));
    EXPECT_FALSE(fs::exists(recipe_.output));
  }
};

}  // namespace cloister::trainer
