#pragma once

// Inside dp/ledger/ only: what counts against a data set's budget, read once and kept up to date.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "dp/ledger/ledger_store.h"
#include "dp/ledger/sqlite.h"
#include "dp/mechanism/event.h"

namespace cloister::dp {

// A debit is asked beside all that was spent before, and a training run debits and asks for its ε
// at every step: reading every row every time would make a run's cost grow with the square of its
// steps. Rows are only ever added, with rising ids, and two sets share their spends from the
// registration of the later one on, before it spends: so the rows that are new to a selection are
// those above the last one seen.
class SpentEvents {
 public:
  // Equal events joined to one, as of the transaction that is under way.
  base::Result<std::vector<Event>> Read(const Database& database, const SpendSelection& spends);

 private:
  struct Seen {
    std::int64_t last_row = 0;
    std::map<std::string, std::int64_t> counts;  // of each event, by its text
  };
  std::map<SpendSelection, Seen> seen_;
};

}  // namespace cloister::dp
