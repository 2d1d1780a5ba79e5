#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "dp/mechanism/privacy_types.h"
#include "trainer/data/chat_file.h"

namespace cloister::trainer {

// The privacy units of a file of records: what is drawn, clipped and protected as one. Unit
// "record": each line. Unit "user": the lines whose field `unit` is the same text. Immutable.
class DataUnits {
 public:
  static constexpr std::size_t kMaxName = 256;  // bytes of a user's name

  // With "user", kDataLoss naming file and line of a record whose `unit` is absent, empty, longer
  // than kMaxName or no text.
  static base::Result<DataUnits> Of(const ChatFile& file, dp::PrivacyUnit unit);

  std::int64_t size() const { return static_cast<std::int64_t>(records_.size()); }
  // The records of unit `index`, at least one, in the file's order.
  std::span<const std::int64_t> records(std::int64_t index) const {
    return records_[static_cast<std::size_t>(index)];
  }
  // What a privacy ledger knows the data set by: the hash of every record, and with "user" that of
  // every user's name too, so that neither another name for the same records nor more records under
  // the same name buy a fresh budget.
  const std::vector<std::string>& ledger_keys() const { return ledger_keys_; }

 private:
  std::vector<std::vector<std::int64_t>> records_;
  std::vector<std::string> ledger_keys_;
};

}  // namespace cloister::trainer
