// How long a privacy ledger takes to register a data set, find it again and extend it by half, and
// how much memory that takes: a line of JSON a call, each in a fresh process, so that its peak
// memory is its own. Then what a debit costs beside many others.
//
//   ledger [UNITS]   units of a data set, 10^6 when absent
#include "dp/ledger/ledger.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>

namespace cloister {
namespace {

namespace fs = std::filesystem;

constexpr dp::PrivacyBudget kBudget{8, 1e-5};

// Units with two keys each, of 32 bytes and of 16, made one at a time, as a reader of a large file
// would.
dp::UnitSource Units(std::int64_t from, std::int64_t to) {
  return [next = 2 * from, to = 2 * to,
          text = std::string(32, '.')]() mutable -> base::Result<std::optional<dp::UnitKey>> {
    if (next == to) return std::nullopt;
    const std::string digits = std::to_string(next++);
    text.replace(0, digits.size(), digits);
    return dp::UnitKey{std::string_view(text).substr(0, next % 2 == 0 ? 16 : 32), {}};
  };
}

base::Result<std::string> Register(dp::Ledger& ledger, std::int64_t from, std::int64_t to) {
  return ledger.RegisterDataSet("bench", Units(from, to), dp::PrivacyUnit::kRecord,
                                dp::Neighbours::kAddOrRemoveOne, kBudget);
}

double Seconds(const std::function<void()>& once) {
  const auto begin = std::chrono::steady_clock::now();
  once();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

[[noreturn]] void Stop(const base::Error& error) {
  std::cerr << error.message << "\n";
  std::exit(1);
}

void MeasureRegistration(const fs::path& path, const char* what, std::int64_t from,
                         std::int64_t to) {
  double open = 0;
  double registered = 0;
  {
    std::unique_ptr<dp::Ledger> ledger;
    open = Seconds([&] {
      auto opened = dp::Ledger::Open(path);
      if (!opened) Stop(opened.error());
      ledger = *std::move(opened);
    });
    registered = Seconds([&] {
      const auto id = Register(*ledger, from, to);
      if (!id) Stop(id.error());
    });
  }
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  std::cout << "{\"what\":\"" << what << "\",\"units\":" << to - from
            << ",\"open_seconds\":" << open << ",\"register_seconds\":" << registered
            << ",\"peak_mib\":" << static_cast<double>(usage.ru_maxrss) / 1024 << "}" << std::endl;
}

void MeasureDebits(const fs::path& path, std::int64_t units) {
  auto ledger = dp::Ledger::Open(path);
  if (!ledger) Stop(ledger.error());
  const auto id = Register(**ledger, 0, units);
  if (!id) Stop(id.error());
  const dp::Event event{1000, 1e-3, 1, dp::Neighbours::kAddOrRemoveOne, 1e-25};
  std::int64_t round = 0;
  for (const std::int64_t until : {100, 1000, 10000}) {
    const std::int64_t begin = round;
    const double seconds = Seconds([&] {
      for (; round < until; ++round) {
        const base::Status debit = (*ledger)->Debit(*id, {{"bench", round, 0}, event, {}});
        if (!debit) Stop(debit.error());
      }
    });
    std::cout << "{\"what\":\"debit\",\"rows\":" << until
              << ",\"milliseconds_each\":" << 1e3 * seconds / static_cast<double>(until - begin)
              << "}" << std::endl;
  }
}

// In a child, and waits for it.
bool Apart(const std::function<void()>& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    work();
    std::exit(0);
  }
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && status == 0;
}

int Run(std::int64_t units) {
  std::string name = (fs::temp_directory_path() / "cloister-bench-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) return 1;
  const fs::path path = fs::path(name) / "ledger";
  const bool done =
      Apart([&] { MeasureRegistration(path, "first", 0, units); }) &&
      Apart([&] { MeasureRegistration(path, "repeat", 0, units); }) &&
      Apart([&] { MeasureRegistration(path, "half overlap", units / 2, units / 2 * 3); }) &&
      Apart([&] { MeasureRegistration(path, "disjoint", 2 * units, 3 * units); }) &&
      Apart([&] { MeasureRegistration(path, "ten", 4 * units, 4 * units + 10); }) &&
      Apart([&] { MeasureDebits(path, units); });
  fs::remove_all(name);
  return done ? 0 : 1;
}

}  // namespace
}  // namespace cloister

int main(int count, char** arguments) {
  const std::int64_t units = count > 1 ? std::strtoll(arguments[1], nullptr, 10) : 1'000'000;
  if (units >= 2) return cloister::Run(units);
  std::cerr << "ledger [UNITS]: give a whole number of at least 2\n";
  return 2;
}
