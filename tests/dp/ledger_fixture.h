#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "dp/accounting/calibration.h"
#include "dp/ledger/ledger.h"

namespace cloister::dp {

inline constexpr PrivacyBudget kBudget{8, 1e-5};

class LedgerTest : public ::testing::Test {
 protected:
  LedgerTest() {
    std::string name = (std::filesystem::temp_directory_path() / "cloister-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    path_ = folder_ / "ledger";
  }
  ~LedgerTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Ledger> Open() {
    auto ledger = Ledger::Open(path_);
    EXPECT_TRUE(ledger) << (ledger ? "" : ledger.error().message);
    return std::move(ledger).value();
  }
  base::Code OpenError() {
    const auto ledger = Ledger::Open(path_);
    if (ledger) return base::Code::kOk;
    EXPECT_NE(ledger.error().message.find(path_.string()), std::string::npos)
        << ledger.error().message;
    return ledger.error().code;
  }

  // As somebody does who has the file and not its key.
  void Tamper(const std::string& sql) {
    sqlite3* database = nullptr;
    EXPECT_EQ(sqlite3_open(path_.c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sql << ": " << sqlite3_errmsg(database);
    sqlite3_close(database);
  }

  std::filesystem::path folder_;
  std::filesystem::path path_;
};

// The most steps that the filter lets one job of nothing else take.
inline std::int64_t Affordable(double noise, double rate, PrivacyBudget budget = kBudget) {
  return *MostSteps({budget.epsilon, budget.delta, Neighbours::kAddOrRemoveOne, Accountant::kRdp},
                    noise, rate);
}

// What a job that spends this and nothing else costs.
inline double EpsilonOfPlan(const Event& event, double delta) {
  return *PlanEpsilon({&event, 1}, delta);
}

inline std::vector<std::string> Units(int from, int to) {
  std::vector<std::string> units;
  for (int i = from; i < to; ++i) units.push_back("record " + std::to_string(i));
  return units;
}

inline base::Result<std::string> TryRegister(Ledger& ledger, const std::vector<std::string>& units,
                                             PrivacyBudget budget = kBudget) {
  return ledger.RegisterDataSet("patients", units, PrivacyUnit::kRecord,
                                Neighbours::kAddOrRemoveOne, budget);
}

inline std::string Register(Ledger& ledger, const std::vector<std::string>& units) {
  const auto id = TryRegister(ledger, units);
  EXPECT_TRUE(id) << (id ? "" : id.error().message);
  return id.value_or("");
}

inline Spend SpendOf(std::int64_t round, double noise = 1, std::int64_t steps = 1,
                     double rate = 0.05) {
  return {
      {"job", round, 0}, {noise, rate, steps, Neighbours::kAddOrRemoveOne, 1e-25}, std::nullopt};
}

// Of the one copy of a run that there is: marks count the steps.
inline ReleasedStep StepOf(std::int64_t step, std::int64_t last) {
  const auto mark = [](std::int64_t of) { return StepMark{static_cast<std::uint8_t>(of)}; };
  return {step, mark(step), {mark(last), mark(last)}};
}
inline ReleasedStep StepOf(std::int64_t step) { return StepOf(step, step - 1); }

}  // namespace cloister::dp
