#include "base/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

namespace cloister::base {
namespace {

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, value < 10 ? "%.2f" : "%.0f", value);
  return text;
}

std::string Duration(double seconds) {
  char text[32];
  if (seconds < 9.95) {
    std::snprintf(text, sizeof text, "%.1fs", std::max(0.0, seconds));
    return text;
  }
  const long whole = std::lround(seconds);
  if (whole >= 3600) {
    std::snprintf(text, sizeof text, "%ldh%02ldm", whole / 3600, whole / 60 % 60);
  } else {
    std::snprintf(text, sizeof text, "%ldm%02lds", whole / 60, whole % 60);
  }
  return text;
}

std::string Bar(double share) {
  constexpr int kWidth = 24;
  const int filled = static_cast<int>(share * kWidth);
  return "[" + std::string(filled, '#') + std::string(kWidth - filled, '.') + "] ";
}

std::string Speed(const ProgressReport& report) {
  const double rate = report.seconds > 0 ? static_cast<double>(report.done) / report.seconds : 0;
  std::string text = ", " + Number(rate) + " " + report.unit + "/s";
  if (report.last) {
    text += ", took " + Duration(report.seconds);
  } else if (report.total > report.done && rate > 0) {
    text += ", " + Duration(static_cast<double>(report.total - report.done) / rate) + " left";
  }
  return text;
}

}  // namespace

std::string ProgressLine(const ProgressReport& report, bool terminal, Timing timing) {
  std::string line = report.title + " ";
  if (report.total > 0) {
    const double share =
        std::min(1.0, static_cast<double>(report.done) / static_cast<double>(report.total));
    if (terminal) line += Bar(share);
    line += std::to_string(report.done) + "/" + std::to_string(report.total) + " " + report.unit;
  } else {
    line += std::to_string(report.done) + " " + report.unit;
  }
  if (timing == Timing::kShown || terminal) line += Speed(report);
  if (timing == Timing::kHidden && terminal) line += " (timing not covered by ε)";
  if (!report.detail.empty()) line += ", " + report.detail;
  return line;
}

Progress::Progress(std::string title, std::uint64_t total, std::string unit, Timing timing)
    : timing_(timing),
      terminal_(::isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      drawn_(start_) {
  report_.title = std::move(title);
  report_.total = total;
  report_.unit = std::move(unit);
}

Progress::~Progress() {
  if (!finished_ && terminal_) std::fputs("\n", stderr);
}

bool Progress::IsDue(Clock::time_point now) const {
  if (terminal_) return now - drawn_ >= std::chrono::milliseconds(100);
  if (timing_ == Timing::kShown) return now - drawn_ >= std::chrono::seconds(10);
  const std::uint64_t tenth = (report_.total + 9) / 10;
  return tenth > 0 && report_.done >= drawn_done_ + tenth;
}

void Progress::Update(std::uint64_t done, const std::string& detail) {
  report_.done = done;
  const auto now = Clock::now();
  if (!IsDue(now)) return;
  drawn_ = now;
  drawn_done_ = done;
  Draw(detail, false);
}

void Progress::Finish(const std::string& detail) {
  if (finished_) return;
  finished_ = true;
  if (report_.total > 0) report_.done = std::max(report_.done, report_.total);
  Draw(detail, true);
}

void Progress::Draw(const std::string& detail, bool last) {
  report_.detail = detail;
  report_.last = last;
  report_.seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const std::string line = ProgressLine(report_, terminal_, timing_);
  const char* end = terminal_ && !last ? "" : "\n";
  std::fprintf(stderr, "%s%s%s", terminal_ ? "\r\033[K" : "", line.c_str(), end);
  std::fflush(stderr);
}

}  // namespace cloister::base
