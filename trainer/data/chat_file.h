#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace cloister::trainer {

// SHA-256 (hex) of a conversation, [{"role", "content"}, …]: what a privacy ledger knows a record
// by. Roles and contents alone count.
std::string ConversationHash(const nlohmann::ordered_json& messages);

// A JSONL file of conversations, `{"messages": [{"role", "content"}, …]}` a line; other keys are
// carried and ignored, but for `unit`. Open reads the whole file once, checks every line and keeps
// where each one starts; records are read again, one at a time, when they are asked for. Errors,
// all "file:line: what": kDataLoss for a line that is no such record or longer than kMaxLine bytes,
// kNotFound for a file that is absent. Not thread-safe.
class ChatFile {
 public:
  static constexpr std::size_t kMaxLine = std::size_t{1} << 20;
  static constexpr std::size_t kMaxMessages = 1024;

  static base::Result<ChatFile> Open(const std::filesystem::path& path);

  std::int64_t size() const { return static_cast<std::int64_t>(lines_.size()); }
  // The `messages` of record `index`. kDataLoss when the file was changed since Open.
  base::Result<nlohmann::ordered_json> Messages(std::int64_t index) const;
  // The ConversationHash() of each record, whatever other keys, key order or spacing its line has.
  const std::vector<std::string>& record_hashes() const { return hashes_; }
  // The record's field `unit`: whose it is. Empty where it is absent or no text.
  const std::string& unit_name(std::int64_t index) const {
    return unit_names_[static_cast<std::size_t>(index)];
  }
  // "file:line" of a record.
  std::string Where(std::int64_t index) const;

 private:
  struct Line {
    std::uint64_t offset = 0;
    std::uint32_t size = 0;
    std::uint64_t number = 0;  // counted from 1, blank lines too
  };
  std::filesystem::path path_;
  std::vector<Line> lines_;
  std::vector<std::string> hashes_;
  std::vector<std::string> unit_names_;
};

}  // namespace cloister::trainer
