#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

#include "security/random.h"
#include "security/secret_bytes.h"

namespace cloister::dp {

// Says its seed, so that a test's output is enough to draw the same again.
inline security::AesCtrStream StreamOfSeed(std::uint8_t seed) {
  std::cout << "seed " << int{seed} << "\n";
  security::SecretBytes key(32);
  key.mutable_bytes()[0] = seed;
  return security::AesCtrStream::FromKey(key);
}

// P(round(N(0, sigma^2)) <= n).
inline double RoundedCdf(std::int64_t n, double sigma) {
  return std::erfc(-(static_cast<double>(n) + 0.5) / (sigma * std::sqrt(2.0))) / 2;
}

// Mean, variance and shape of samples against the rounded Gaussian's, each at a false alarm rate
// under 1e-6; empty when none deviates.
inline std::string FindDeviation(std::vector<std::int64_t> samples, double sigma) {
  const auto count = static_cast<double>(samples.size());
  double mean = 0;
  for (const std::int64_t sample : samples) mean += static_cast<double>(sample) / count;
  double variance = 0;
  for (const std::int64_t sample : samples) {
    variance += (static_cast<double>(sample) - mean) * (static_cast<double>(sample) - mean) / count;
  }
  const double expected = sigma * sigma + 1.0 / 12;  // Sheppard
  if (std::abs(mean) > 5 * sigma / std::sqrt(count)) return "mean " + std::to_string(mean);
  if (std::abs(variance / expected - 1) > 5 * std::sqrt(2 / count)) {
    return "variance ratio " + std::to_string(variance / expected);
  }
  // Kolmogorov-Smirnov on the lattice, where the statistic is only smaller than a continuous law's.
  std::sort(samples.begin(), samples.end());
  double distance = 0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (i + 1 < samples.size() && samples[i + 1] == samples[i]) continue;
    const double below = static_cast<double>(i + 1) / count;
    distance = std::max(distance, std::abs(below - RoundedCdf(samples[i], sigma)));
    if (i + 1 < samples.size()) {
      distance = std::max(distance, std::abs(below - RoundedCdf(samples[i + 1] - 1, sigma)));
    }
  }
  if (distance * std::sqrt(count) > 2.7) return "KS distance " + std::to_string(distance);
  return "";
}

}  // namespace cloister::dp
