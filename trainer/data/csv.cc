#include "trainer/data/csv.h"

#include <utility>

namespace cloister::trainer {
namespace {

std::string_view WithoutEnd(std::string_view row) {
  if (row.ends_with('\n')) row.remove_suffix(1);
  if (row.ends_with('\r')) row.remove_suffix(1);
  return row;
}

tl::unexpected<base::Error> Wrong(const char* what) {
  return base::Fail(base::Code::kDataLoss, what);
}

// Takes the field that `rest` begins with.
base::Result<std::string> TakeField(std::string_view& rest) {
  if (!rest.starts_with('"')) {
    const std::string_view field = rest.substr(0, rest.find(','));
    if (field.find_first_of("\"\r\n") != field.npos) {
      return Wrong("quote or line's end in a field without quotes: put the field in quotes");
    }
    rest.remove_prefix(field.size());
    return std::string(field);
  }
  std::string field;
  rest.remove_prefix(1);
  while (true) {
    const std::size_t quote = rest.find('"');
    if (quote == rest.npos) return Wrong("quote that is never closed: close the field");
    field.append(rest.substr(0, quote));
    rest.remove_prefix(quote + 1);
    if (!rest.starts_with('"')) break;
    field.push_back('"');
    rest.remove_prefix(1);
  }
  if (!rest.empty() && rest.front() != ',') {
    return Wrong("text behind a closing quote: write quotes within a field twice");
  }
  return field;
}

}  // namespace

std::optional<std::size_t> CsvRowSize(std::string_view text, bool whole) {
  bool quoted = false, at_start = true;  // of a field
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      const std::size_t quote = text.find('"', i);
      if (quote == text.npos) break;
      i = quote;
      // A quote written twice closes and opens at once.
      quoted = i + 1 < text.size() && text[i + 1] == '"';
      if (quoted) ++i;
      continue;
    }
    if (c == '\n') return i + 1;
    quoted = at_start && c == '"';
    at_start = c == ',';
  }
  return whole ? std::optional(text.size()) : std::nullopt;
}

base::Result<std::vector<std::string>> ParseCsvRow(std::string_view row) {
  std::string_view rest = WithoutEnd(row);
  std::vector<std::string> fields;
  while (true) {
    if (fields.size() == kMaxCsvFields) return Wrong("too many fields: give fewer columns");
    CLOISTER_ASSIGN_OR_RETURN(fields.emplace_back(), TakeField(rest));
    if (rest.empty()) return fields;
    rest.remove_prefix(1);
  }
}

}  // namespace cloister::trainer
