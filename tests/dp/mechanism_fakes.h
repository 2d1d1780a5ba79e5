#pragma once

#include <gtest/gtest.h>

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "dp/ledger/ledger.h"
#include "dp/mechanism/clipped_sum.h"
#include "tests/dp/unkept_ledger.h"

namespace cloister::dp {

namespace clipping {
// Stands in for the clipping engine, which is not linked here.
class ClippedSumFactory {
 public:
  static ClippedSum Make(std::span<const double> values, double spacing, double clip_norm,
                         double excess = 0, Neighbours neighbours = Neighbours::kAddOrRemoveOne,
                         std::int64_t units = 1) {
    LatticeSum points(static_cast<std::int64_t>(values.size()));
    points.AddRounded(0, values, 1 / spacing);
    return ClippedSum(std::move(points), spacing, clip_norm, excess, PrivacyUnit::kRecord,
                      neighbours, units);
  }
};
}  // namespace clipping

// Records what it is asked; fails while `failing`.
class FakeLedger final : public UnkeptLedger {
 public:
  base::Status Debit(const std::string& data_set, const Spend& spend) override {
    EXPECT_EQ(data_set, "set");
    spends.push_back(spend);
    if (failing) return base::Fail(base::Code::kResourceExhausted, "budget");
    return {};
  }
  base::Status RecordStep(const std::string& data_set, const std::string& job,
                          const ReleasedStep& released) override {
    EXPECT_EQ(data_set, "set");
    EXPECT_FALSE(spends.empty()) << "a step of " << job << " before its debit";
    if (failing_steps) return base::Fail(base::Code::kUnavailable, "disk full");
    if (released.step <= last_step) return base::Fail(base::Code::kAlreadyExists, "released");
    last_step = released.step;
    return {};
  }
  base::Result<std::int64_t> LastStep(const std::string&) const override { return last_step; }

  bool failing = false;
  bool failing_steps = false;
  std::int64_t last_step = 0;
  std::vector<Spend> spends;
};

}  // namespace cloister::dp
