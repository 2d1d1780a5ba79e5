#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "dp/ledger/ledger.h"
#include "dp/mechanism/privacy_types.h"
#include "trainer/data/record_file.h"

namespace cloister::trainer {

// The privacy units of a file of records: what is drawn, clipped and protected as one. Unit
// "record": each record, and nothing is kept. Unit "user": the records whose unit is the same text,
// at 8 bytes a record. Immutable.
class DataUnits {
 public:
  // With "user", of a file that was opened with its units: kDataLoss naming file and line of a
  // record that has none.
  static base::Result<DataUnits> Of(const RecordFile& file, dp::PrivacyUnit unit);

  std::int64_t size() const;
  // The records of unit `index`, at least one, in the file's order.
  std::vector<std::int64_t> records(std::int64_t index) const;

 private:
  std::int64_t count_ = 0;            // of records that are units
  std::vector<std::int64_t> starts_;  // of users in `records_`, and the end
  std::vector<std::int64_t> records_;
};

// What a privacy ledger knows the data set by, one after another: of every record the hash of what
// the recipe reads of it and that of its whole row, and with "user" whose they are and every user
// too, so that neither another reading of the same rows, nor another name for the same records, nor
// more records under the same name buy a fresh budget. `file` must outlive it.
dp::UnitSource LedgerKeys(const RecordFile& file, dp::PrivacyUnit unit);

}  // namespace cloister::trainer
