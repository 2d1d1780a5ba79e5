#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace cloister::base {

// Whether a bar may tell how fast the work went. Rates and times of work on private data depend on
// the records, and no ε covers them.
enum class Timing { kShown, kHidden };

// What one line of progress tells.
struct ProgressReport {
  std::string title;
  std::uint64_t done = 0;
  std::uint64_t total = 0;  // 0 when unknown
  std::string unit;
  std::string detail;
  std::string uncovered;       // what no ε covers, beside rate and times: a loss, memory
  std::uint64_t begun_at = 0;  // what was done before `seconds` began to count
  double seconds = 0;          // since the start
  bool last = false;
};

// The report as text without a line's end. With kHidden, rate, times and `uncovered` are left out
// where there is no terminal, since what is written there may be kept or sent on, and marked as
// uncovered where there is one. On a terminal of so many `columns` (0: unknown) the bar gives way
// to the words, and what still does not fit is cut: a line that wraps is never drawn over.
std::string ProgressLine(const ProgressReport& report, bool terminal, Timing timing,
                         std::size_t columns = 0);

// Progress of long work on stderr: a bar with rate and time left where stderr is a terminal, and a
// plain line about every ten seconds (and at the end) elsewhere. With kHidden such lines come after
// each tenth of the work instead, for lines that a clock paces tell the rate. Not thread-safe.
class Progress {
 public:
  using Timing = base::Timing;

  // `total` in units of `unit` ("tokens", "rounds"), 0 when unknown; `begun_at` of them were done
  // before.
  Progress(std::string title, std::uint64_t total, std::string unit, Timing timing = Timing::kShown,
           std::uint64_t begun_at = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `detail` is shown after the bar: the phase, a loss that may be shown. `uncovered`: see
  // ProgressReport; with kShown it follows the detail.
  void Update(std::uint64_t done, const std::string& detail = {},
              const std::string& uncovered = {});
  void Finish(const std::string& detail = {}, const std::string& uncovered = {});

 private:
  using Clock = std::chrono::steady_clock;
  bool IsDue(Clock::time_point now) const;
  void Draw(bool last);

  ProgressReport report_;
  Timing timing_;
  bool terminal_;
  bool finished_ = false;
  Clock::time_point start_;
  Clock::time_point drawn_;
  std::uint64_t drawn_done_ = 0;
};

}  // namespace cloister::base
