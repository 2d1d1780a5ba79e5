#include "base/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace cloister::base {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

ProgressReport Half(double seconds) {
  return {
      .title = "write", .done = 5, .total = 10, .unit = "MiB", .detail = {}, .seconds = seconds};
}

ProgressReport Done(double seconds) {
  ProgressReport report = Half(seconds);
  report.done = 10;
  report.last = true;
  return report;
}

TEST(ProgressLine, TellsWhatIsDoneHowFastAndWhatIsLeft) {
  EXPECT_EQ(ProgressLine(Half(2.5), false, Timing::kShown),
            "write 5/10 MiB, 2.00 MiB/s, 2.5s left");
  EXPECT_EQ(ProgressLine(Half(2.5), true, Timing::kShown),
            "write [############............] 5/10 MiB, 2.00 MiB/s, 2.5s left");
  ProgressReport unknown = Half(2.5);
  unknown.total = 0;
  unknown.detail = "phase";
  EXPECT_EQ(ProgressLine(unknown, false, Timing::kShown), "write 5 MiB, 2.00 MiB/s, phase");
}

TEST(ProgressLine, ShortDurationsHaveTenths) {
  EXPECT_THAT(ProgressLine(Done(0.004), false, Timing::kShown), EndsWith("took 0.0s"));
  EXPECT_THAT(ProgressLine(Done(0.42), false, Timing::kShown), EndsWith("took 0.4s"));
  EXPECT_THAT(ProgressLine(Done(9.94), false, Timing::kShown), EndsWith("took 9.9s"));
  EXPECT_THAT(ProgressLine(Done(9.96), false, Timing::kShown), EndsWith("took 0m10s"));
  EXPECT_THAT(ProgressLine(Done(59.7), false, Timing::kShown), EndsWith("took 1m00s"));
  EXPECT_THAT(ProgressLine(Done(3599.7), false, Timing::kShown), EndsWith("took 1h00m"));
}

TEST(ProgressLine, HiddenTimingIsLeftOutOffATerminalAndMarkedOnOne) {
  EXPECT_EQ(ProgressLine(Half(2.5), false, Timing::kHidden), "write 5/10 MiB");
  EXPECT_EQ(ProgressLine(Done(2.5), false, Timing::kHidden), "write 10/10 MiB");
  EXPECT_EQ(ProgressLine(Done(2.5), true, Timing::kHidden),
            "write [########################] 10/10 MiB; not covered by ε: 4.00 MiB/s, took 2.5s");
}

TEST(ProgressLine, WhatNoEpsilonCoversIsTheLastOnATerminalAndAbsentElsewhere) {
  ProgressReport report = Half(2.5);
  report.detail = "ε 1.20";
  report.uncovered = "loss 2.310, 1.3 GiB";
  EXPECT_EQ(ProgressLine(report, false, Timing::kHidden), "write 5/10 MiB, ε 1.20");
  EXPECT_EQ(ProgressLine(report, true, Timing::kHidden),
            "write [############............] 5/10 MiB, ε 1.20; not covered by ε: 2.00 MiB/s, 2.5s "
            "left, loss 2.310, 1.3 GiB");
  EXPECT_THAT(ProgressLine(report, false, Timing::kShown),
              EndsWith("2.5s left, ε 1.20, loss 2.310, 1.3 GiB"));
}

TEST(ProgressLine, FitsItsTerminal) {
  ProgressReport report = Half(2.5);
  report.detail = "ε 1.20";
  const std::string whole = ProgressLine(report, true, Timing::kShown);
  const std::size_t columns = whole.size() - 1;  // ε is one column and two bytes
  EXPECT_EQ(ProgressLine(report, true, Timing::kShown, columns), whole);
  const std::string bare = "write 5/10 MiB, 2.00 MiB/s, 2.5s left, ε 1.20";
  EXPECT_EQ(ProgressLine(report, true, Timing::kShown, columns - 1), bare);
  EXPECT_EQ(ProgressLine(report, true, Timing::kShown, 40),
            "write 5/10 MiB, 2.00 MiB/s, 2.5s left, ε");
  EXPECT_EQ(ProgressLine(report, true, Timing::kShown, 5), "write");
  // Files take lines of any length.
  EXPECT_EQ(ProgressLine(report, false, Timing::kShown, 5), bare);
}

TEST(ProgressLine, TheRateIsThatOfWhatWasDoneSinceTheStart) {
  ProgressReport report = Half(2);
  report.begun_at = 4;
  EXPECT_EQ(ProgressLine(report, false, Timing::kShown), "write 5/10 MiB, 0.50 MiB/s, 0m10s left");
}

// Lines at each tenth of the work, however long it took: their number tells nothing of the rate.
TEST(Progress, HiddenTimingOffATerminalIsPacedByTheWork) {
  ::testing::internal::CaptureStderr();
  {
    Progress progress("train", 100, "steps", Progress::Timing::kHidden);
    for (std::uint64_t step = 1; step <= 100; ++step) progress.Update(step);
    progress.Finish("done");
  }
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 11) << text;
  EXPECT_THAT(text, HasSubstr("train 10/100 steps\ntrain 20/100 steps\n"));
  EXPECT_THAT(text, EndsWith("train 100/100 steps, done\n"));
  EXPECT_THAT(text, Not(HasSubstr("/s")));
  EXPECT_THAT(text, Not(HasSubstr("took")));
}

}  // namespace
}  // namespace cloister::base
