#include "base/progress.h"

#include <sys/ioctl.h>
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
  const auto worked = static_cast<double>(report.done - std::min(report.begun_at, report.done));
  const double rate = report.seconds > 0 ? worked / report.seconds : 0;
  std::string text = Number(rate) + " " + report.unit + "/s";
  if (report.last) {
    text += ", took " + Duration(report.seconds);
  } else if (report.total > report.done && rate > 0) {
    text += ", " + Duration(static_cast<double>(report.total - report.done) / rate) + " left";
  }
  return text;
}

std::string Line(const ProgressReport& report, bool terminal, Timing timing, bool bar) {
  std::string line = report.title + " ";
  const auto add = [&line](const std::string& text) {
    if (!text.empty()) line += ", " + text;
  };
  if (report.total > 0) {
    const double share =
        std::min(1.0, static_cast<double>(report.done) / static_cast<double>(report.total));
    if (bar) line += Bar(share);
    line += std::to_string(report.done) + "/" + std::to_string(report.total) + " " + report.unit;
  } else {
    line += std::to_string(report.done) + " " + report.unit;
  }
  if (timing == Timing::kShown) add(Speed(report));
  add(report.detail);
  if (timing == Timing::kHidden && terminal) line += "; not covered by ε: " + Speed(report);
  if (timing == Timing::kShown || terminal) add(report.uncovered);
  return line;
}

bool StartsCodePoint(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }

// `line` with at most so many code points.
std::string Cut(std::string line, std::size_t columns) {
  std::size_t points = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (StartsCodePoint(line[i]) && ++points > columns) return line.substr(0, i);
  }
  return line;
}

std::size_t TerminalColumns() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

}  // namespace

std::string ProgressLine(const ProgressReport& report, bool terminal, Timing timing,
                         std::size_t columns) {
  std::string line = Line(report, terminal, timing, /*bar=*/terminal);
  if (!terminal || columns == 0 || Cut(line, columns) == line) return line;
  return Cut(Line(report, terminal, timing, /*bar=*/false), columns);
}

Progress::Progress(std::string title, std::uint64_t total, std::string unit, Timing timing,
                   std::uint64_t begun_at)
    : timing_(timing),
      terminal_(::isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      drawn_(start_),
      drawn_done_(begun_at) {
  report_.title = std::move(title);
  report_.total = total;
  report_.unit = std::move(unit);
  report_.begun_at = begun_at;
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

void Progress::Update(std::uint64_t done, const std::string& detail, const std::string& uncovered) {
  report_.done = done;
  const auto now = Clock::now();
  if (!IsDue(now)) return;
  drawn_ = now;
  drawn_done_ = done;
  report_.detail = detail;
  report_.uncovered = uncovered;
  Draw(false);
}

void Progress::Finish(const std::string& detail, const std::string& uncovered) {
  if (finished_) return;
  finished_ = true;
  if (report_.total > 0) report_.done = std::max(report_.done, report_.total);
  report_.detail = detail;
  report_.uncovered = uncovered;
  Draw(true);
}

void Progress::Draw(bool last) {
  report_.last = last;
  report_.seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  // The last column stays free: some terminals wrap when it is written.
  const std::size_t columns = terminal_ ? TerminalColumns() : 0;
  const std::string line = ProgressLine(report_, terminal_, timing_, columns > 0 ? columns - 1 : 0);
  const char* end = terminal_ && !last ? "" : "\n";
  std::fprintf(stderr, "%s%s%s", terminal_ ? "\r\033[K" : "", line.c_str(), end);
  std::fflush(stderr);
}

}  // namespace cloister::base
