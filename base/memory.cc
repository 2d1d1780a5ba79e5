#include "base/memory.h"

#include <algorithm>
#include <fstream>
#include <string>

namespace cloister::base {
namespace {

// The number behind `key` in a file of lines "key number", by `unit`.
std::optional<std::int64_t> NumberOf(const char* path, const std::string& key, std::int64_t unit) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    std::int64_t number = 0;
    if (word == key && file >> number) return number * unit;
  }
  return std::nullopt;
}

// The first word of a file, a number; nullopt for "max" and for no file.
std::optional<std::int64_t> Number(const char* path) {
  std::ifstream file(path);
  std::int64_t number = 0;
  if (file >> number) return number;
  return std::nullopt;
}

// Of the group that the process sees as its root, as in a container.
std::optional<std::int64_t> AvailableInGroup() {
  const auto most = Number("/sys/fs/cgroup/memory.max");
  const auto now = Number("/sys/fs/cgroup/memory.current");
  if (!most || !now) return std::nullopt;
  // Files that are cached go first.
  const auto cached = NumberOf("/sys/fs/cgroup/memory.stat", "inactive_file", 1);
  return std::max<std::int64_t>(0, *most - *now + cached.value_or(0));
}

}  // namespace

std::optional<std::int64_t> AvailableMemory() {
  const auto machine = NumberOf("/proc/meminfo", "MemAvailable:", 1024);
  const auto group = AvailableInGroup();
  if (machine && group) return std::min(*machine, *group);
  return machine ? machine : group;
}

std::optional<std::int64_t> ResidentMemory() {
  return NumberOf("/proc/self/status", "VmRSS:", 1024);
}

std::optional<std::int64_t> PeakMemory() { return NumberOf("/proc/self/status", "VmHWM:", 1024); }

bool ResetPeakMemory() {
  std::ofstream file("/proc/self/clear_refs");
  return static_cast<bool>(file << "5" << std::flush);
}

}  // namespace cloister::base
