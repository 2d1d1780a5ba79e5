#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "trainer/data/example.h"

namespace cloister::trainer {

// What becomes of a record of more than max_tokens tokens. What is done to one depends on no other.
//
//   right  its end is cut off, and answers there with it
//   left   its beginning is cut off: the last answer stays, what it is about may go
//   skip   it trains nothing: it keeps its place, and contributes no gradient
//   error  it is refused
enum class Truncation { kRight, kLeft, kSkip, kError };

std::string_view TruncationName(Truncation truncation);
std::optional<Truncation> ParseTruncation(std::string_view name);

// At most `max_tokens` tokens; none of a record that is skipped. kDataLoss with kError.
base::Status Truncate(Example& example, std::int64_t max_tokens, Truncation truncation);

}  // namespace cloister::trainer
