// Times the accountants for bench/accounting.py: reads a row a line, "noise_multiplier
// sampling_rate steps delta", and prints "epsilon seconds peak_bytes" for each, by PLD.
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
  double delta = 0;
  while (std::cin >> event.noise_multiplier >> event.sampling_rate >> event.steps >> delta) {
    const auto begin = std::chrono::steady_clock::now();
    const auto epsilon = cloister::dp::PldEpsilon({&event, 1}, delta);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    if (!epsilon) {
      std::fprintf(stderr, "error: %s\n", epsilon.error().message.c_str());
      return 1;
    }
    std::printf("%.12g %.9f %ld\n", *epsilon, seconds.count(), PeakBytes());
  }
}
