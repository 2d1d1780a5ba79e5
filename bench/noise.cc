// How many rounded Gaussians one core draws a second, on each tier that the processor has: the
// whole sampler, key stream included, medians of several runs. A line of JSON a tier and sigma.
//
//   noise [SAMPLES]   samples a run, 2^25 when absent
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

#include "dp/mechanism/lattice_sampler.h"
#include "security/random.h"

namespace cloister {
namespace {

constexpr int kRuns = 7;

double SecondsOf(dp::LatticeSampler& sampler, std::vector<std::int64_t>& row, std::size_t count) {
  const auto begin = std::chrono::steady_clock::now();
  for (std::size_t done = 0; done < count; done += row.size()) sampler.Fill(row);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void Measure(dp::SamplerTier tier, double sigma, std::size_t count) {
  dp::LatticeSampler sampler(sigma, security::AesCtrStream::FromSystem(), tier);
  std::vector<std::int64_t> row(std::size_t{1} << 16);
  SecondsOf(sampler, row, count / 4);  // warm
  std::vector<double> seconds;
  for (int run = 0; run < kRuns; ++run) seconds.push_back(SecondsOf(sampler, row, count));
  std::nth_element(seconds.begin(), seconds.begin() + kRuns / 2, seconds.end());
  std::cout << "{\"tier\":\"" << dp::SamplerTierName(tier) << "\",\"sigma\":" << sigma
            << ",\"samples_per_second\":" << static_cast<double>(count) / seconds[kRuns / 2]
            << "}\n";
}

}  // namespace
}  // namespace cloister

int main(int count, char** words) {
  const std::size_t samples = count > 1 ? std::stoull(words[1]) : std::size_t{1} << 25;
  for (const auto tier : cloister::dp::SupportedSamplerTiers()) {
    for (const double sigma : {1e5, 0x1p24, 0x1p30}) cloister::Measure(tier, sigma, samples);
  }
  return 0;
}
