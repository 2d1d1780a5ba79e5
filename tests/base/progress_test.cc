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
            "write [########################] 10/10 MiB, 4.00 MiB/s, took 2.5s (timing not covered "
            "by ε)");
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
