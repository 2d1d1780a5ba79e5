// Times the accountants for bench/accounting.py: reads a row a line, "noise_multiplier
// sampling_rate steps (delta D|epsilon E)", and prints the other of the two by PLD, seconds and
// peak_bytes for each.
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>

#include "dp/accounting/pld_accountant.h"

namespace {

// Of this program alone: getrusage would count what its parent held when it was started.
long PeakBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::stol(line.substr(6)) * 1024;
  }
  return 0;
}

}  // namespace

int main() {
  cloister::dp::Event event;
  event.neighbours = cloister::dp::Neighbours::kAddOrRemoveOne;
  std::string given;
  double value = 0;
  while (std::cin >> event.noise_multiplier >> event.sampling_rate >> event.steps >> given >>
         value) {
    const auto begin = std::chrono::steady_clock::now();
    const auto answer = given == "delta" ? cloister::dp::PldEpsilon({&event, 1}, value)
                                         : cloister::dp::PldDelta({&event, 1}, value);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    if (!answer) {
      std::fprintf(stderr, "error: %s\n", answer.error().message.c_str());
      return 1;
    }
    std::printf("%.12g %.9f %ld\n", *answer, seconds.count(), PeakBytes());
  }
}
