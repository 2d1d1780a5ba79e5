#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "security/primitives.h"
#include "trainer/data/row_key.h"

namespace cloister::trainer {

// What a line or row of a data file says, whatever its format.
struct Record {
  // A conversation, [{"role", "content"}, …] with a role of system, user or assistant; other keys
  // of a message are the chat template's. Null where the record is `text`.
  nlohmann::ordered_json messages;
  std::string text;
  std::string unit;           // whose it is; empty where it does not say, or not by a text
  std::optional<RowKey> row;  // of all that its line says
};

// What a privacy ledger knows a record by beside its row, whatever other keys, key order or format
// its line has: of a conversation its roles and contents, of a text the text.
security::Sha256Digest HashOf(const Record& record);

// What a ledger knows a user by; apart from every hash of a record.
security::Sha256Digest HashOfUnit(const std::string& unit);

}  // namespace cloister::trainer
