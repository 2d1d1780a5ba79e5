// How many rounded Gaussians one core draws a second, on each tier that the processor has: the
// whole sampler, key stream included, medians of several runs, in the thread's own processor time,
// so that what else runs counts little. A line of JSON a tier and sigma.
//
//   noise [SAMPLES]   samples a run, 2^25 when absent
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "dp/matrix_factorization/correlated_noise.h"
#include "dp/matrix_factorization/factorization.h"
#include "dp/mechanism/lattice_sampler.h"
#include "security/random.h"

namespace cloister {
namespace {

constexpr int kRuns = 7;

double ThreadSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// The median over kRuns of the seconds that `once` takes, after one run that does not count.
double MedianSeconds(const std::function<void()>& once) {
  std::vector<double> seconds;
  for (int run = 0; run <= kRuns; ++run) {
    const double begin = ThreadSeconds();
    once();
    if (run > 0) seconds.push_back(ThreadSeconds() - begin);
  }
  std::nth_element(seconds.begin(), seconds.begin() + kRuns / 2, seconds.end());
  return seconds[kRuns / 2];
}

void MeasureSampler(dp::SamplerTier tier, double sigma, std::size_t count) {
  dp::LatticeSampler sampler(sigma, security::AesCtrStream::FromSystem(), tier);
  std::vector<std::int64_t> row(std::size_t{1} << 16);
  const double seconds = MedianSeconds([&] {
    for (std::size_t done = 0; done < count; done += row.size()) sampler.Fill(row);
  });
  std::cout << "{\"tier\":\"" << dp::SamplerTierName(tier) << "\",\"sigma\":" << sigma
            << ",\"samples_per_second\":" << static_cast<double>(count) / seconds << "}\n";
}

base::Status MeasureCorrelated(std::int64_t bands) {
  constexpr std::int64_t kSteps = 1000;
  constexpr std::int64_t kDimension = 1'000'000;
  CLOISTER_ASSIGN_OR_RETURN(const dp::BandedMatrix matrix,
                            dp::OptimizeToeplitz({kSteps, 0}, bands));
  CLOISTER_ASSIGN_OR_RETURN(dp::CorrelatedNoise noise,
                            dp::CorrelatedNoise::Create(matrix, kDimension, 0x1p36,
                                                        security::AesCtrStream::FromSystem()));
  for (std::int64_t t = 1; t < bands; ++t) CLOISTER_RETURN_IF_ERROR(noise.Advance());
  base::Status done;
  const double seconds = MedianSeconds([&] { done = noise.Advance(); });
  CLOISTER_RETURN_IF_ERROR(done);
  std::cout << "{\"bands\":" << bands << ",\"dimension\":" << kDimension
            << ",\"numbers_per_second\":" << double{kDimension} / seconds << "}\n";
  return {};
}

}  // namespace
}  // namespace cloister

int main(int count, char** words) {
  const std::size_t samples = count > 1 ? std::stoull(words[1]) : std::size_t{1} << 25;
  for (const auto tier : cloister::dp::SupportedSamplerTiers()) {
    for (const double sigma : {1e5, 0x1p24, 0x1p30, 0x1p36}) {
      cloister::MeasureSampler(tier, sigma, samples);
    }
  }
  for (const std::int64_t bands : {1, 4, 16, 64}) {
    if (const auto done = cloister::MeasureCorrelated(bands); !done) {
      std::cerr << "error: " << done.error().message << "\n";
      return 1;
    }
  }
  return 0;
}
