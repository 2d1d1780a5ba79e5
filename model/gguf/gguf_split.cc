#include "model/gguf/gguf_split.h"

#include <cstdio>
#include <string>
#include <string_view>

namespace cloister::model {
namespace {

constexpr std::size_t kDigits = 5;

std::optional<std::int64_t> Number(std::string_view digits) {
  std::int64_t number = 0;
  for (const char digit : digits) {
    if (digit < '0' || digit > '9') return std::nullopt;
    number = 10 * number + (digit - '0');
  }
  return number;
}

}  // namespace

std::optional<GgufPartName> GgufPartName::Of(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  constexpr std::string_view kOf = "-of-";
  constexpr std::string_view kExtension = ".gguf";
  constexpr std::size_t kTail = 1 + kDigits + kOf.size() + kDigits + kExtension.size();
  if (name.size() < kTail || !name.ends_with(kExtension)) return std::nullopt;
  const std::string_view tail = std::string_view(name).substr(name.size() - kTail);
  const auto number = Number(tail.substr(1, kDigits));
  const auto count = Number(tail.substr(1 + kDigits + kOf.size(), kDigits));
  if (tail[0] != '-' || tail.substr(1 + kDigits, kOf.size()) != kOf || !number || !count ||
      *number < 1 || *number > *count) {
    return std::nullopt;
  }
  return GgufPartName{path.parent_path() / name.substr(0, name.size() - kTail), *number, *count};
}

std::filesystem::path GgufPartName::path() const {
  char tail[64];
  std::snprintf(tail, sizeof tail, "-%05lld-of-%05lld.gguf", static_cast<long long>(number),
                static_cast<long long>(count));
  return stem.string() + tail;
}

}  // namespace cloister::model
