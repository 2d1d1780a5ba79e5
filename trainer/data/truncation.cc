#include "trainer/data/truncation.h"

#include <algorithm>
#include <iterator>
#include <string>

namespace cloister::trainer {
namespace {

constexpr std::string_view kNames[] = {"right", "left", "skip", "error"};  // as the enum

}  // namespace

std::string_view TruncationName(Truncation truncation) {
  return kNames[static_cast<std::size_t>(truncation)];
}

std::optional<Truncation> ParseTruncation(std::string_view name) {
  const auto* const found = std::find(std::begin(kNames), std::end(kNames), name);
  if (found == std::end(kNames)) return std::nullopt;
  return static_cast<Truncation>(found - std::begin(kNames));
}

base::Status Truncate(Example& example, std::int64_t max_tokens, Truncation truncation) {
  const std::int64_t over = example.tokens() - max_tokens;
  if (over <= 0) return {};
  const auto most = static_cast<std::size_t>(max_tokens);
  switch (truncation) {
    case Truncation::kRight:
      example.ids.resize(most);
      example.answer.resize(most);
      return {};
    case Truncation::kLeft:
      example.ids.erase(example.ids.begin(), example.ids.begin() + over);
      example.answer.erase(example.answer.begin(), example.answer.begin() + over);
      example.answer[0] = 0;  // nothing predicts it any more
      return {};
    case Truncation::kSkip:
      example = {};
      return {};
    case Truncation::kError:
      break;
  }
  return base::Fail(base::Code::kDataLoss,
                    "more than the " + std::to_string(max_tokens) +
                        " tokens of data.max_tokens: raise it, split the record, or choose "
                        "data.truncation right, left or skip");
}

}  // namespace cloister::trainer
