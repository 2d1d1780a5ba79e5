#include "dp/ledger/schema.h"

namespace cloister::dp {

const char* const kLedgerSchema = R"sql(
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE seal(only INTEGER PRIMARY KEY CHECK(only = 1), entries INTEGER NOT NULL,
  chain BLOB NOT NULL);
CREATE TABLE data_sets(entry INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
  unit TEXT NOT NULL, neighbours TEXT NOT NULL, units INTEGER NOT NULL, registered TEXT NOT NULL);
CREATE TABLE budgets(entry INTEGER PRIMARY KEY, data_set TEXT NOT NULL REFERENCES data_sets(id),
  epsilon REAL NOT NULL, delta REAL NOT NULL, UNIQUE(data_set, entry));
CREATE TABLE overlaps(entry INTEGER PRIMARY KEY, data_set TEXT NOT NULL REFERENCES data_sets(id),
  other TEXT NOT NULL REFERENCES data_sets(id), divided_anew INTEGER NOT NULL,
  UNIQUE(data_set, other));
CREATE TABLE orders(entry INTEGER PRIMARY KEY, data_set TEXT NOT NULL REFERENCES data_sets(id),
  alpha REAL NOT NULL, UNIQUE(data_set, alpha));
CREATE TABLE spends(entry INTEGER PRIMARY KEY, data_set TEXT NOT NULL REFERENCES data_sets(id),
  job TEXT NOT NULL, round INTEGER NOT NULL, attempt INTEGER NOT NULL, event TEXT NOT NULL,
  own_event TEXT, time TEXT NOT NULL, UNIQUE(data_set, job, round, attempt));
CREATE TABLE released_steps(entry INTEGER PRIMARY KEY, job TEXT NOT NULL, step INTEGER NOT NULL,
  mark BLOB NOT NULL, UNIQUE(job, step));
CREATE TABLE unit_blocks(id INTEGER PRIMARY KEY, data_set TEXT NOT NULL REFERENCES data_sets(id),
  block INTEGER NOT NULL, hashes BLOB NOT NULL, code BLOB NOT NULL, UNIQUE(data_set, block));
)sql";

}  // namespace cloister::dp
