#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "trainer/data/data_format.h"
#include "trainer/data/record.h"

namespace cloister::trainer {

// Turns the bytes of one record, a line or a CSV row, into what it says. Immutable, thread-safe.
class RecordParser {
 public:
  static constexpr std::size_t kMaxMessages = 1024;

  // `header`: of a CSV file, the bytes of its first row; else nothing. kDataLoss for a header that
  // is no row, lacks a column that is needed, or has one twice.
  static base::Result<RecordParser> Create(const DataLayout& layout, std::string_view header);

  // kDataLoss with what is wrong and how to mend it, without the place, and without anything that
  // the record says.
  base::Result<Record> Parse(std::string_view bytes) const;

 private:
  explicit RecordParser(const DataLayout& layout) : layout_(layout) {}
  base::Result<Record> ParseJson(std::string_view line) const;
  base::Result<Record> ParseRow(std::string_view row) const;

  // Where the columns stand in a row.
  struct Places {
    std::size_t count = 0;
    std::optional<std::size_t> instruction, input, output, system, text, unit;
  };
  DataLayout layout_;
  Places places_;
};

}  // namespace cloister::trainer
