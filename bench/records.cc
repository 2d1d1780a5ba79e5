// Opens a data file as `cloister train` does, reads records of it in a shuffled order, and says how
// long that took and how much memory.
//
//   records FILE chat|instruction|text|csv [RECORDS TO READ]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/memory.h"
#include "trainer/data/permutation.h"
#include "trainer/data/record_file.h"

namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

int main(int count, char** arguments) {
  namespace trainer = cloister::trainer;
  const auto format = count >= 3 ? trainer::ParseFormat(arguments[2]) : std::nullopt;
  if (!format) {
    std::fprintf(stderr, "usage: records FILE chat|instruction|text|csv [RECORDS TO READ]\n");
    return 2;
  }
  const std::int64_t reads = count > 3 ? std::atoll(arguments[3]) : 10'000;
  const Clock::time_point start = Clock::now();
  const auto records = trainer::RecordFile::Open(arguments[1], {.layout = {.format = *format}});
  if (!records) {
    std::fprintf(stderr, "error: %s\n", records.error().message.c_str());
    return 1;
  }
  const double opened = SecondsSince(start);
  const Clock::time_point then = Clock::now();
  const trainer::Permutation order(records->size(), 1);
  for (std::int64_t i = 0; i < reads; ++i) {
    if (!records->Read(order.At(i % records->size()))) return 1;
  }
  std::printf(
      "{\"records\": %lld, \"open_seconds\": %.1f, \"read_microseconds\": %.1f, "
      "\"peak_rss_bytes\": %lld}\n",
      static_cast<long long>(records->size()), opened,
      1e6 * SecondsSince(then) / static_cast<double>(reads),
      static_cast<long long>(cloister::base::PeakMemory().value_or(0)));
  return 0;
}
