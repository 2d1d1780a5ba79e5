#include "trainer/data/chat_file.h"

#include <fstream>
#include <utility>

#include "base/json.h"
#include "security/primitives.h"

namespace cloister::trainer {
namespace {

using nlohmann::ordered_json;

// What is wrong with a record, in words that name the field; empty when nothing is.
std::string Fault(const ordered_json& record) {
  if (record.is_discarded()) return "no valid JSON: write one JSON object a line";
  if (!record.is_object()) return "no JSON object: write {\"messages\": […]}";
  const auto messages = record.find("messages");
  if (messages == record.end()) return "field 'messages' is missing: add it";
  if (!messages->is_array() || messages->empty()) {
    return "field 'messages' must be a list with at least one message: mend the line";
  }
  if (messages->size() > ChatFile::kMaxMessages) {
    return "field 'messages' has more than " + std::to_string(ChatFile::kMaxMessages) +
           " messages: split the record";
  }
  for (std::size_t i = 0; i < messages->size(); ++i) {
    const ordered_json& message = (*messages)[i];
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

ordered_json ParseLine(const std::string& line) { return base::ParseJson<ordered_json>(line); }

std::string UnitName(const ordered_json& record) {
  const auto unit = record.find("unit");
  return unit == record.end() || !unit->is_string() ? std::string() : unit->get<std::string>();
}

enum class Read { kLine, kEnd, kTooLong };

// One line without its newline, of at most ChatFile::kMaxLine bytes.
Read ReadLine(std::istream& stream, std::string& line) {
  line.clear();
  std::streambuf& buffer = *stream.rdbuf();
  for (int c = buffer.sbumpc(); c != std::char_traits<char>::eof(); c = buffer.sbumpc()) {
    if (c == '\n') return Read::kLine;
    if (line.size() == ChatFile::kMaxLine) return Read::kTooLong;
    line.push_back(static_cast<char>(c));
  }
  return line.empty() ? Read::kEnd : Read::kLine;
}

bool Blank(const std::string& line) { return line.find_first_not_of(" \t\r") == std::string::npos; }

}  // namespace

// Each part has its length before it, so that no two conversations meet.
std::string ConversationHash(const ordered_json& messages) {
  security::Sha256 hash;
  for (const ordered_json& message : messages) {
    for (const char* field : {"role", "content"}) {
      const std::string& text = message[field].get_ref<const std::string&>();
      hash.Update(std::to_string(text.size()) + ":").Update(text);
    }
  }
  return security::Hex(hash.Finish());
}

base::Result<ChatFile> ChatFile::Open(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::error_code ignored;
  if (!stream || !std::filesystem::is_regular_file(path, ignored)) {
    return base::Fail(base::Code::kNotFound,
                      "cannot read " + path.string() + ": give a JSONL file of conversations");
  }
  ChatFile file;
  file.path_ = path;
  std::string line;
  std::uint64_t offset = 0;
  for (std::uint64_t number = 1;; ++number) {
    const auto fail = [&](const std::string& what) {
      return base::Fail(base::Code::kDataLoss,
                        path.string() + ":" + std::to_string(number) + ": " + what);
    };
    const Read read = ReadLine(stream, line);
    if (read == Read::kEnd) break;
    if (read == Read::kTooLong) {
      return fail("line of more than " + std::to_string(kMaxLine) + " bytes: split the record");
    }
    const std::uint64_t start = offset;
    offset += line.size() + 1;
    if (Blank(line)) continue;
    const ordered_json record = ParseLine(line);
    if (const std::string fault = Fault(record); !fault.empty()) return fail(fault);
    file.lines_.push_back({start, static_cast<std::uint32_t>(line.size()), number});
    file.hashes_.push_back(ConversationHash(record["messages"]));
    file.unit_names_.push_back(UnitName(record));
  }
  if (file.lines_.empty()) {
    return base::Fail(base::Code::kDataLoss,
                      path.string() + ":1: no record: write one JSON object a line");
  }
  return file;
}

std::string ChatFile::Where(std::int64_t index) const {
  return path_.string() + ":" + std::to_string(lines_[static_cast<std::size_t>(index)].number);
}

base::Result<ordered_json> ChatFile::Messages(std::int64_t index) const {
  const Line& at = lines_[static_cast<std::size_t>(index)];
  std::string line(at.size, '\0');
  std::ifstream stream(path_, std::ios::binary);
  stream.seekg(static_cast<std::streamoff>(at.offset));
  stream.read(line.data(), static_cast<std::streamsize>(line.size()));
  ordered_json record = stream ? ParseLine(line) : ordered_json();
  // The hash was charged for; another record under it was not.
  if (!Fault(record).empty() || ConversationHash(record["messages"]) != hashes_[index] ||
      UnitName(record) != unit_name(index)) {
    return base::Fail(base::Code::kDataLoss,
                      Where(index) +
                          ": changed since the run began: leave the file alone and start "
                          "again");
  }
  return std::move(record["messages"]);
}

}  // namespace cloister::trainer
