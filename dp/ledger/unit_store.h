#pragma once

// Inside dp/ledger/ only: where the ledger keeps the units of its data sets. A set's hashes lie in
// ascending blocks of a few thousand, each with a keyed code that binds it to its place: a block
// that was changed, moved or lost on the disk is kDataLoss where it is read, never a unit that is
// not found again. `key` is the codes', another than the units'.

#include <string>
#include <vector>

#include "dp/ledger/ledger_store.h"
#include "dp/ledger/sqlite.h"
#include "dp/ledger/unit_set.h"

namespace cloister::dp {

// The data sets that share a key with `units`. Reads each set's blocks until one meets, or where
// keys have owners all of them; a block in memory at a time, and a bit a hash.
base::Result<std::vector<Overlap>> SetsSharing(const Database& database,
                                               security::HmacSha256Key& key, const UnitSet& units);
// Whether every block of every data set is there and as it was written. A block in memory at a
// time.
base::Status VerifyUnits(const Database& database, security::HmacSha256Key& key);
base::Status InsertUnits(const Database& database, security::HmacSha256Key& key,
                         const std::string& data_set, const UnitSet& units);

}  // namespace cloister::dp
