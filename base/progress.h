#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace cloister::base {

// Progress of long work on stderr: a bar with rate and time left where stderr is a terminal, and a
// plain line about every ten seconds (and at the end) elsewhere. Not thread-safe.
class Progress {
 public:
  // `total` in units of `unit` ("tokens", "rounds"), 0 when unknown.
  Progress(std::string title, std::uint64_t total, std::string unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `detail` is shown after the bar: the phase, a loss that may be shown.
  void Update(std::uint64_t done, const std::string& detail = {});
  void Finish(const std::string& detail = {});

 private:
  using Clock = std::chrono::steady_clock;
  void Draw(const std::string& detail, bool last);

  std::string title_;
  std::uint64_t total_;
  std::string unit_;
  bool terminal_;
  bool finished_ = false;
  std::uint64_t done_ = 0;
  Clock::time_point start_;
  Clock::time_point drawn_;
};

}  // namespace cloister::base
