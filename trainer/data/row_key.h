#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

namespace cloister::trainer {

// What a line or row of a file says, however it is read: the words of all its fields and how often
// each stands there, in no order, without the fields' names, their spacing, punctuation and case
// (of ASCII letters). A recipe that reads other columns of a file, or another format, finds the
// same. Two rows with the same words are one: a ledger counts too much for them, never too little.
using RowKey = std::array<std::uint8_t, 16>;

// Makes one of a row's fields, in any order.
class RowWords {
 public:
  void Add(std::string_view text);
  // Every string, number and truth value in it, at any depth.
  void AddAll(const nlohmann::ordered_json& value);
  // Nothing where there was no word.
  std::optional<RowKey> Finish() const;

 private:
  // Sums over words, which no order shows in.
  std::uint64_t first_ = 0, second_ = 0, count_ = 0;
};

}  // namespace cloister::trainer
