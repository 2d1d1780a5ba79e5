#pragma once

#include <chrono>
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
  double seconds = 0;  // since the start
  bool last = false;
};

// The report as text without a line's end. With kHidden, rate and times are left out where there is
// no terminal, since what is written there may be kept or sent on, and marked as uncovered where
// there is one.
std::string ProgressLine(const ProgressReport& report, bool terminal, Timing timing);

// Progress of long work on stderr: a bar with rate and time left where stderr is a terminal, and a
// plain line about every ten seconds (and at the end) elsewhere. With kHidden such lines come after
// each tenth of the work instead, for lines that a clock paces tell the rate. Not thread-safe.
class Progress {
 public:
  using Timing = base::Timing;

  // `total` in units of `unit` ("tokens", "rounds"), 0 when unknown.
  Progress(std::string title, std::uint64_t total, std::string unit,
           Timing timing = Timing::kShown);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `detail` is shown after the bar: the phase, a loss that may be shown.
  void Update(std::uint64_t done, const std::string& detail = {});
  void Finish(const std::string& detail = {});

 private:
  using Clock = std::chrono::steady_clock;
  bool IsDue(Clock::time_point now) const;
  void Draw(const std::string& detail, bool last);

  ProgressReport report_;
  Timing timing_;
  bool terminal_;
  bool finished_ = false;
  Clock::time_point start_;
  Clock::time_point drawn_;
  std::uint64_t drawn_done_ = 0;
};

}  // namespace cloister::base
