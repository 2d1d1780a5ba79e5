#pragma once

// Inside dp/ledger/ only: the tables of a ledger.

#include <array>
#include <cstdint>

namespace cloister::dp {

inline constexpr std::int64_t kLedgerApplication = 0x434c4c47;  // "CLLG"
inline constexpr std::int64_t kLedgerVersion = 5;

// meta            what binds the file to its key
// seal            one row: the seal of all that was appended (dp/ledger/seal.h)
// data_sets       one row a registered set of units
// budgets         what a data set may spend: the newest row counts, and none follows its spends
// overlaps        both directions of every pair of data sets that share a unit
// orders          the Rényi orders that a data set's filter looks at, fixed at its first spend
// spends          one row a debit
// released_steps  the steps that a job released under a spend which covers many, and their marks
// unit_blocks     a data set's units, with codes of their own (dp/ledger/unit_store.h)
extern const char* const kLedgerSchema;

// The tables under the seal. Rows are only ever added. The first column is `entry`: the place of
// the row in the order in which the rows of all of them were added, from 1.
inline constexpr std::array<const char*, 6> kSealedTables = {
    "data_sets", "budgets", "overlaps", "orders", "spends", "released_steps"};

}  // namespace cloister::dp
