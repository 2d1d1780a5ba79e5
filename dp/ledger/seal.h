#pragma once

// Inside dp/ledger/ only: the seal over what a ledger says.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "dp/ledger/sqlite.h"
#include "security/keyed_hash.h"
#include "security/secret_bytes.h"

namespace cloister::dp {

// A chain over every row of dp/ledger/schema.h's kSealedTables, in the order in which they were
// added:
//
//   chain(0) = HMAC-SHA-256(key, 0 ‖ the schema as the file has it)
//   chain(n) = HMAC-SHA-256(key, 1 ‖ chain(n−1) ‖ table ‖ row n's values)
//
// where each value has its kind and length before it and `key` is made from the ledger's for this
// alone. The last of them and their number are kept in one row that the adding transaction writes.
// So whoever has not the key can change, remove, add, move or reorder no row: kDataLoss, where
// nothing else is told. It shows what was changed on disk, not a whole that is older: a copy of
// all files from an earlier time is as sound as it was then. Whoever has the key can write what
// they like.
class Seal {
 public:
  explicit Seal(const security::SecretBytes& ledger_key);

  // Writes the first seal, of an empty schema. Inside the transaction that made it.
  base::Status Begin(const Database& database);

  // Verifies the state that the transaction under way sees: at the first call all of it, later the
  // rows that are new. To be called once in each transaction, before anything else.
  base::Status Verify(const Database& database);
  // Rows that the last call verified.
  std::int64_t entries() const { return verified_.entries; }

  // Adds a row with these values after its `entry`, and seals it. After Verify.
  base::Status Append(const Database& database, const std::string& table,
                      std::span<const Value> values);

 private:
  struct State {
    std::int64_t entries = -1;  // nothing is known yet
    security::Sha256Digest chain{};
    friend bool operator==(const State&, const State&) = default;
  };

  base::Result<State> Stored(const Database& database) const;
  base::Result<State> Start(const Database& database);
  base::Result<State> Replay(const Database& database, std::int64_t until);
  security::Sha256Digest Next(const State& state, const std::vector<std::uint8_t>& row);

  security::HmacSha256Key key_;
  State verified_;  // of a state that was committed
  State head_;      // with what the transaction under way has added
};

}  // namespace cloister::dp
