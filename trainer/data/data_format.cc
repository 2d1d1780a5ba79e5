#include "trainer/data/data_format.h"

#include <algorithm>
#include <iterator>

namespace cloister::trainer {
namespace {

constexpr std::string_view kNames[] = {"chat", "instruction", "text", "csv"};  // as the enum

}  // namespace

std::string_view FormatName(DataFormat format) { return kNames[static_cast<std::size_t>(format)]; }

std::optional<DataFormat> ParseFormat(std::string_view name) {
  const auto* const found = std::find(std::begin(kNames), std::end(kNames), name);
  if (found == std::end(kNames)) return std::nullopt;
  return static_cast<DataFormat>(found - std::begin(kNames));
}

}  // namespace cloister::trainer
