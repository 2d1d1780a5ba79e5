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
  const auto whole = static_cast<long>(std::max(0.0, std::ceil(seconds)));
  char text[32];
  if (whole >= 3600) {
    std::snprintf(text, sizeof text, "%ldh%02ldm", whole / 3600, whole / 60 % 60);
  } else {
    std::snprintf(text, sizeof text, "%ldm%02lds", whole / 60, whole % 60);
  }
  return text;
}

}  // namespace

Progress::Progress(std::string title, std::uint64_t total, std::string unit)
    : title_(std::move(title)),
      total_(total),
      unit_(std::move(unit)),
      terminal_(::isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      drawn_(start_) {}

Progress::~Progress() {
  if (!finished_ && terminal_) std::fputs("\n", stderr);
}

void Progress::Update(std::uint64_t done, const std::string& detail) {
  done_ = done;
  const auto interval = terminal_ ? std::chrono::milliseconds(100) : std::chrono::seconds(10);
  const auto now = Clock::now();
  if (now - drawn_ < interval) return;
  drawn_ = now;
  Draw(detail, false);
}

void Progress::Finish(const std::string& detail) {
  if (finished_) return;
  finished_ = true;
  if (total_ > 0) done_ = std::max(done_, total_);
  Draw(detail, true);
}

void Progress::Draw(const std::string& detail, bool last) {
  constexpr int kWidth = 24;
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(done_) / seconds : 0;
  std::string line = title_ + " ";
  if (total_ > 0) {
    const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
    if (terminal_) {
      const int filled = static_cast<int>(share * kWidth);
      line += "[" + std::string(filled, '#') + std::string(kWidth - filled, '.') + "] ";
    }
    line += std::to_string(done_) + "/" + std::to_string(total_) + " " + unit_;
  } else {
    line += std::to_string(done_) + " " + unit_;
  }
  line += ", " + Number(rate) + " " + unit_ + "/s";
  if (last) {
    line += ", took " + Duration(seconds);
  } else if (total_ > done_ && rate > 0) {
    line += ", " + Duration(static_cast<double>(total_ - done_) / rate) + " left";
  }
  if (!detail.empty()) line += ", " + detail;
  const char* end = terminal_ && !last ? "" : "\n";
  std::fprintf(stderr, "%s%s%s", terminal_ ? "\r\033[K" : "", line.c_str(), end);
  std::fflush(stderr);
}

}  // namespace cloister::base
