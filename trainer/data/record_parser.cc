#include "trainer/data/record_parser.h"

#include <algorithm>
#include <utility>

#include "base/json.h"
#include "model/tokenizer/utf8.h"
#include "trainer/data/csv.h"

namespace cloister::trainer {
namespace {

using nlohmann::ordered_json;

tl::unexpected<base::Error> Wrong(const std::string& what) {
  return base::Fail(base::Code::kDataLoss, what);
}

// What is wrong with a conversation, in words that name the field; empty when nothing is.
std::string FaultOf(const ordered_json& messages) {
  if (!messages.is_array() || messages.empty()) {
    return "field 'messages' must be a list with at least one message: mend the line";
  }
  if (messages.size() > RecordParser::kMaxMessages) {
    return "field 'messages' has more than " + std::to_string(RecordParser::kMaxMessages) +
           " messages: split the record";
  }
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const ordered_json& message = messages[i];
    const std::string where = "messages[" + std::to_string(i) + "]";
    if (!message.is_object()) return "field '" + where + "' must be an object: mend the line";
    for (const char* field : {"role", "content"}) {
      const auto value = message.find(field);
      if (value == message.end() || !value->is_string()) {
        return "field '" + where + "." + field + "' must be a string: mend the line";
      }
    }
    const std::string& role = message["role"].get_ref<const std::string&>();
    if (role != "system" && role != "user" && role != "assistant") {
      return "field '" + where + ".role' must be system, user or assistant: mend the line";
    }
  }
  return {};
}

// An instruction with what it is about on the lines below it, and its answer.
ordered_json Conversation(const std::string& system, const std::string& instruction,
                          const std::string& input, const std::string& output) {
  ordered_json messages = ordered_json::array();
  if (!system.empty()) messages.push_back({{"role", "system"}, {"content", system}});
  const std::string break_between = instruction.empty() || input.empty() ? "" : "\n";
  messages.push_back({{"role", "user"}, {"content", instruction + break_between + input}});
  messages.push_back({{"role", "assistant"}, {"content", output}});
  return messages;
}

// A field that is a text; nothing where it is absent or null and may be.
base::Result<std::string> Text(const ordered_json& record, const std::string& name, bool needed) {
  const auto found = record.find(name);
  if (!needed && (found == record.end() || found->is_null())) return std::string();
  if (found == record.end()) return Wrong("field '" + name + "' is missing: add it");
  if (!found->is_string()) return Wrong("field '" + name + "' must be a string: mend the line");
  return found->get<std::string>();
}

base::Result<Record> Instruction(const ordered_json& line, const DataColumns& columns) {
  CLOISTER_ASSIGN_OR_RETURN(const std::string instruction, Text(line, columns.instruction, true));
  CLOISTER_ASSIGN_OR_RETURN(const std::string input, Text(line, columns.input, false));
  CLOISTER_ASSIGN_OR_RETURN(const std::string output, Text(line, columns.output, true));
  CLOISTER_ASSIGN_OR_RETURN(const std::string system, Text(line, columns.system, false));
  const auto history = line.find("history");
  if (history != line.end() && !history->empty()) {
    return Wrong("field 'history' is not read: write the turns as 'messages', in format chat");
  }
  return Record{Conversation(system, instruction, input, output), {}, {}, {}};
}

std::optional<RowKey> RowOf(const ordered_json& object) {
  RowWords words;
  words.AddAll(object);
  return words.Finish();
}

// A line of JSON says the same where it is read as plain text.
std::optional<RowKey> RowOfLine(std::string_view line) {
  const std::size_t start = line.find_first_not_of(" \t");
  if (start != line.npos && line[start] == '{') {
    const ordered_json object = base::ParseJson<ordered_json>(line);
    if (object.is_object()) return RowOf(object);
  }
  RowWords words;
  words.Add(line);
  return words.Finish();
}

}  // namespace

base::Result<RecordParser> RecordParser::Create(const DataLayout& layout, std::string_view header) {
  RecordParser parser(layout);
  if (layout.format != DataFormat::kCsv) return parser;
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<std::string> names, ParseCsvRow(header));
  Places& places = parser.places_;
  places.count = names.size();
  const auto find = [&](const std::string& name,
                        bool needed) -> base::Result<std::optional<std::size_t>> {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) {
      if (!needed) return std::optional<std::size_t>();
      return Wrong("the header has no column '" + name +
                   "': add it, or say in data.columns what it is called");
    }
    if (std::find(found + 1, names.end(), name) != names.end()) {
      return Wrong("the header has column '" + name + "' twice: rename one");
    }
    return std::optional(static_cast<std::size_t>(found - names.begin()));
  };
  const DataColumns& columns = layout.columns;
  CLOISTER_ASSIGN_OR_RETURN(places.unit, find(columns.unit, false));
  if (layout.texts()) {
    CLOISTER_ASSIGN_OR_RETURN(places.text, find(columns.text, true));
    return parser;
  }
  CLOISTER_ASSIGN_OR_RETURN(places.instruction, find(columns.instruction, true));
  CLOISTER_ASSIGN_OR_RETURN(places.input, find(columns.input, false));
  CLOISTER_ASSIGN_OR_RETURN(places.output, find(columns.output, true));
  CLOISTER_ASSIGN_OR_RETURN(places.system, find(columns.system, false));
  return parser;
}

base::Result<Record> RecordParser::Parse(std::string_view bytes) const {
  if (layout_.json()) return ParseJson(bytes);
  if (!model::IsUtf8(bytes)) return Wrong("bytes that are no UTF-8: convert the file");
  if (layout_.format == DataFormat::kCsv) return ParseRow(bytes);
  while (bytes.ends_with('\n') || bytes.ends_with('\r')) bytes.remove_suffix(1);
  return Record{{}, std::string(bytes), {}, RowOfLine(bytes)};
}

base::Result<Record> RecordParser::ParseJson(std::string_view line) const {
  ordered_json object = base::ParseJson<ordered_json>(line);
  if (object.is_discarded()) return Wrong("no valid JSON: write one JSON object a line");
  if (!object.is_object()) return Wrong("no JSON object: write one JSON object a line");
  Record record;
  const std::optional<RowKey> row = RowOf(object);
  if (layout_.texts()) {
    CLOISTER_ASSIGN_OR_RETURN(record.text, Text(object, layout_.columns.text, true));
  } else if (layout_.format == DataFormat::kInstruction) {
    CLOISTER_ASSIGN_OR_RETURN(record, Instruction(object, layout_.columns));
  } else {
    const auto messages = object.find("messages");
    if (messages == object.end()) return Wrong("field 'messages' is missing: add it");
    if (const std::string fault = FaultOf(*messages); !fault.empty()) return Wrong(fault);
    record.messages = std::move(*messages);
  }
  const auto unit = object.find(layout_.columns.unit);
  if (unit != object.end() && unit->is_string()) record.unit = unit->get<std::string>();
  record.row = row;
  return record;
}

base::Result<Record> RecordParser::ParseRow(std::string_view row) const {
  CLOISTER_ASSIGN_OR_RETURN(std::vector<std::string> fields, ParseCsvRow(row));
  if (fields.size() != places_.count) {
    return Wrong("another number of fields than the header has: mend the row");
  }
  const auto at = [&](const std::optional<std::size_t>& place) {
    return place ? fields[*place] : std::string();
  };
  RowWords words;
  for (const std::string& field : fields) words.Add(field);
  Record record;
  record.unit = at(places_.unit);
  record.row = words.Finish();
  if (layout_.texts()) {
    record.text = at(places_.text);
  } else {
    record.messages = Conversation(at(places_.system), at(places_.instruction), at(places_.input),
                                   at(places_.output));
  }
  return record;
}

}  // namespace cloister::trainer
