#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cloister::trainer {

// How a file's records are written (docs/reference/data.md).
//
//   chat         a JSON object a line: {"messages": [{"role", "content"}, …]}
//   instruction  a JSON object a line: {"instruction", "input", "output"}
//   text         a record a line, or with a text column one field of a JSON object a line
//   csv          RFC 4180 with a header: columns as of instruction, or with a text column that
enum class DataFormat { kChat, kInstruction, kText, kCsv };

std::string_view FormatName(DataFormat format);
std::optional<DataFormat> ParseFormat(std::string_view name);

// What fields (of JSON) and columns (of CSV) are called.
struct DataColumns {
  std::string instruction = "instruction";
  std::string input = "input";  // may be absent
  std::string output = "output";
  std::string system = "system";  // may be absent
  std::string text;               // named: the record is this text, and nothing of the above
  std::string unit = "unit";      // whose the record is; may be absent
};

struct DataLayout {
  DataFormat format = DataFormat::kChat;
  DataColumns columns;

  // Whether records are texts and not conversations: no chat template is needed.
  bool texts() const {
    return format == DataFormat::kText || (format == DataFormat::kCsv && !columns.text.empty());
  }
  bool json() const {
    return format == DataFormat::kChat || format == DataFormat::kInstruction ||
           (format == DataFormat::kText && !columns.text.empty());
  }
  // Whether a record can say whose it is.
  bool names_units() const { return json() || format == DataFormat::kCsv; }
};

}  // namespace cloister::trainer
