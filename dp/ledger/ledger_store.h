#pragma once

// Inside dp/ledger/ only: what is asked of the tables, inside a transaction that a Seal verified.
// Rules are in ledger.cc and registration.h.

#include <optional>
#include <string>
#include <vector>

#include "dp/ledger/ledger.h"
#include "dp/ledger/seal.h"
#include "dp/ledger/sqlite.h"

namespace cloister::dp {

struct DataSetRow {
  std::string id;
  PrivacyUnit unit{};
  Neighbours neighbours{};
  PrivacyBudget budget;
};

enum class WhichEvent {
  kCounted,       // what counts against the budget
  kOwnNoiseOnly,  // with the holder's own noise where that is told, else the counted one
};

base::Result<std::optional<DataSetRow>> FindDataSet(const Database& database,
                                                    const std::string& id);
// A data set that shares a key with another one.
struct Overlap {
  std::string other;
  bool divided_anew = false;  // UnitSet::DividesAnew(), the same either way
};
base::Result<std::vector<Overlap>> OverlapsOf(const Database& database, const std::string& id);
// The row and its budget: its units are dp/ledger/unit_store.h's.
base::Status InsertDataSet(const Database& database, Seal& seal, const DataSetRow& row,
                           const std::string& name, std::int64_t units,
                           std::span<const Overlap> overlapping);
// From now on the data set's.
base::Status InsertBudget(const Database& database, Seal& seal, const std::string& id,
                          const PrivacyBudget& budget);

// What `count` equal spends come to, from the text of one.
base::Result<Event> JoinedEvent(const Database& database, const std::string& text,
                                std::int64_t count);
// Spends on a data set and on those that it shares a unit with: every job's, or one's.
struct SpendSelection {
  std::string data_set;
  std::optional<std::string> job;
  WhichEvent which = WhichEvent::kCounted;

  friend auto operator<=>(const SpendSelection&, const SpendSelection&) = default;
};
// Rows (entry, event's text) of them above an entry, with rising entries.
base::Result<Statement> RowsOf(const Database& database, const SpendSelection& spends,
                               std::int64_t after);

// The filter's orders recorded for the data set; where none are, those of the data sets that it
// shares a unit with.
base::Result<std::vector<double>> FilterOrders(const Database& database, const std::string& id);
base::Status RecordOrders(const Database& database, Seal& seal, const std::string& id,
                          std::span<const double> orders);

// Whether the data set, or one that it shares a unit with, has spent under this key.
base::Result<bool> HasSpend(const Database& database, const std::string& id, const SpendKey& key);
// Whether anything was spent on this very data set.
base::Result<bool> HasSpent(const Database& database, const std::string& id);
base::Status InsertSpend(const Database& database, Seal& seal, const std::string& id,
                         const Spend& spend);
// In the order in which they were made; of every job, or of one on whatever data set.
base::Result<std::vector<Ledger::Row>> Spends(const Database& database,
                                              const std::optional<std::string>& job = std::nullopt);

// The last step that the job recorded and its mark; 0 and zeros where none is.
struct RecordedStep {
  std::int64_t step = 0;
  StepMark mark{};
};
base::Result<RecordedStep> ReadStep(const Database& database, const std::string& job);
base::Status WriteStep(const Database& database, Seal& seal, const std::string& job,
                       const RecordedStep& recorded);

}  // namespace cloister::dp
