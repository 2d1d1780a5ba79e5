#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cloister::trainer {

// Comma-separated values as RFC 4180 has them, strictly: fields that hold a comma, a quote or a
// line's end stand in quotes, a quote within is written twice. Rows end with CR LF or LF.

inline constexpr std::size_t kMaxCsvFields = 4096;

// Bytes of the row that `text` begins with, its end ("\n" or "\r\n") included; of all of `text`
// where `whole` says that nothing follows. nullopt where the row goes on beyond `text`. A quote
// that stands where none may opens nothing: ParseCsvRow() will say so.
std::optional<std::size_t> CsvRowSize(std::string_view text, bool whole);

// The fields of one row, with or without its end. kDataLoss with what is wrong: a quote within a
// field without quotes, text behind a closing quote, a quote that is never closed, more than
// kMaxCsvFields fields.
base::Result<std::vector<std::string>> ParseCsvRow(std::string_view row);

}  // namespace cloister::trainer
