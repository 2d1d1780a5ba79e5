#include "dp/ledger/spent_events.h"

namespace cloister::dp {

base::Result<std::vector<Event>> SpentEvents::Read(const Database& database,
                                                   const SpendSelection& spends) {
  Seen& seen = seen_[spends];
  CLOISTER_ASSIGN_OR_RETURN(Statement rows, RowsOf(database, spends, seen.last_row));
  for (;;) {
    CLOISTER_ASSIGN_OR_RETURN(const bool row, rows.Step());
    if (!row) break;
    seen.last_row = rows.Integer(0);
    ++seen.counts[rows.Text(1)];
  }
  std::vector<Event> events;
  for (const auto& [text, count] : seen.counts) {
    CLOISTER_ASSIGN_OR_RETURN(Event event, JoinedEvent(database, text, count));
    events.push_back(event);
  }
  return events;
}

}  // namespace cloister::dp
