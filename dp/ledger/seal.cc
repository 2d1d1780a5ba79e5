#include "dp/ledger/seal.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>

#include "base/check.h"
#include "dp/ledger/byte_view.h"
#include "dp/ledger/schema.h"

namespace cloister::dp {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::uint8_t kStart[] = {0};
constexpr std::uint8_t kRow[] = {1};

security::Sha256Digest SealKey(const security::SecretBytes& ledger_key) {
  return security::HmacSha256(ledger_key.bytes(), ByteView("cloister ledger seal"));
}

// Kind, length, bytes: no two sequences of values have one encoding.
void Encode(char kind, std::span<const std::uint8_t> value, Bytes& out) {
  static_assert(std::endian::native == std::endian::little);
  const std::uint64_t size = value.size();
  std::uint8_t length[sizeof size];
  std::memcpy(length, &size, sizeof size);
  out.push_back(static_cast<std::uint8_t>(kind));
  out.insert(out.end(), std::begin(length), std::end(length));
  out.insert(out.end(), value.begin(), value.end());
}

template <typename Number>
void EncodeNumber(char kind, Number number, Bytes& out) {
  std::uint8_t bytes[sizeof number];
  std::memcpy(bytes, &number, sizeof number);
  Encode(kind, bytes, out);
}

void Encode(const Value& value, Bytes& out) {
  if (const auto* const number = std::get_if<std::int64_t>(&value)) {
    EncodeNumber('i', *number, out);
  } else if (const auto* const real = std::get_if<double>(&value)) {
    EncodeNumber('r', *real, out);
  } else if (const auto* const text = std::get_if<std::string>(&value)) {
    Encode('t', ByteView(*text), out);
  } else if (const auto* const bytes = std::get_if<Bytes>(&value)) {
    Encode('b', *bytes, out);
  } else {
    Encode('n', {}, out);
  }
}

// The current row, by what is stored and not by what was declared.
Bytes EncodeRow(const std::string& table, const Statement& row) {
  Bytes out;
  Encode(table, out);
  for (int column = 0; column < row.Columns(); ++column) Encode(row.Stored(column), out);
  return out;
}

tl::unexpected<base::Error> Broken(const Database& database) {
  return base::Fail(
      base::Code::kDataLoss,
      "the privacy ledger is not as it was written: something was changed, removed or added, " +
          database.where() +
          ": restore the newest backup, and never one that has fewer spends, since what it "
          "forgets could be spent again");
}

// The sealed tables side by side, from an entry on.
class Rows {
 public:
  static base::Result<Rows> From(const Database& database, std::int64_t first) {
    Rows rows;
    for (const std::string table : kSealedTables) {
      CLOISTER_ASSIGN_OR_RETURN(
          Statement statement,
          database.Prepare("SELECT * FROM " + table + " WHERE entry >= ? ORDER BY entry"));
      statement.Bind(first);
      Cursor cursor{table, std::move(statement)};
      CLOISTER_ASSIGN_OR_RETURN(cursor.there, cursor.row.Step());
      rows.cursors_.push_back(std::move(cursor));
    }
    return rows;
  }

  // The row of this entry, encoded; nothing where there is none.
  base::Result<std::optional<Bytes>> Take(std::int64_t entry) {
    for (Cursor& cursor : cursors_) {
      if (!cursor.there || cursor.row.Integer(0) != entry) continue;
      Bytes row = EncodeRow(cursor.table, cursor.row);
      CLOISTER_ASSIGN_OR_RETURN(cursor.there, cursor.row.Step());
      return std::optional(std::move(row));
    }
    return std::optional<Bytes>();
  }

  // Whether rows are left that nobody took: out of the order, twice, or beyond the end.
  bool AnyLeft() const {
    return std::ranges::any_of(cursors_, [](const Cursor& cursor) { return cursor.there; });
  }

 private:
  struct Cursor {
    std::string table;
    Statement row;
    bool there = false;
  };
  std::vector<Cursor> cursors_;
};

}  // namespace

Seal::Seal(const security::SecretBytes& ledger_key) : key_(SealKey(ledger_key)) {}

security::Sha256Digest Seal::Next(const State& state, const Bytes& row) {
  const std::span<const std::uint8_t> parts[] = {kRow, state.chain, row};
  return key_.Hash(parts);
}

base::Result<Seal::State> Seal::Start(const Database& database) {
  CLOISTER_ASSIGN_OR_RETURN(
      Statement schema,
      database.Prepare("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name, type"));
  Bytes text;
  for (;;) {
    CLOISTER_ASSIGN_OR_RETURN(const bool row, schema.Step());
    if (!row) break;
    const Bytes one = EncodeRow("schema", schema);
    text.insert(text.end(), one.begin(), one.end());
  }
  const std::span<const std::uint8_t> parts[] = {kStart, text};
  return State{0, key_.Hash(parts)};
}

base::Result<Seal::State> Seal::Stored(const Database& database) const {
  CLOISTER_ASSIGN_OR_RETURN(Statement row, database.Prepare("SELECT entries, chain FROM seal"));
  CLOISTER_ASSIGN_OR_RETURN(const bool there, row.Step());
  State state;
  const std::span<const std::uint8_t> chain =
      there ? row.Bytes(1) : std::span<const std::uint8_t>();
  if (chain.size() != state.chain.size()) return Broken(database);
  state.entries = row.Integer(0);
  std::ranges::copy(chain, state.chain.begin());
  return state;
}

base::Result<Seal::State> Seal::Replay(const Database& database, std::int64_t until) {
  const bool whole = verified_.entries < 0;
  State state = verified_;
  if (whole) {
    CLOISTER_ASSIGN_OR_RETURN(state, Start(database));
  }
  const std::int64_t first =
      whole ? std::numeric_limits<std::int64_t>::min() : verified_.entries + 1;
  CLOISTER_ASSIGN_OR_RETURN(Rows rows, Rows::From(database, first));
  while (state.entries < until) {
    CLOISTER_ASSIGN_OR_RETURN(const std::optional<Bytes> row, rows.Take(state.entries + 1));
    if (!row) return Broken(database);
    state = {state.entries + 1, Next(state, *row)};
  }
  if (rows.AnyLeft()) return Broken(database);
  return state;
}

base::Status Seal::Begin(const Database& database) {
  CLOISTER_ASSIGN_OR_RETURN(const State start, Start(database));
  CLOISTER_ASSIGN_OR_RETURN(Statement insert, database.Prepare("INSERT INTO seal VALUES(1, ?, ?)"));
  return insert.Bind(start.entries).Bind(start.chain).Run();
}

base::Status Seal::Verify(const Database& database) {
  CLOISTER_ASSIGN_OR_RETURN(const State stored, Stored(database));
  // What this object added and committed.
  if (head_.entries >= 0 && stored == head_) verified_ = head_;
  if (verified_.entries >= 0 && stored == verified_) {
    head_ = verified_;
    return {};
  }
  CLOISTER_ASSIGN_OR_RETURN(const State replayed, Replay(database, stored.entries));
  if (replayed != stored) return Broken(database);
  verified_ = head_ = replayed;
  return {};
}

base::Status Seal::Append(const Database& database, const std::string& table,
                          std::span<const Value> values) {
  CLOISTER_CHECK(head_.entries >= 0);
  const std::int64_t entry = head_.entries + 1;
  Bytes row;
  Encode(table, row);
  Encode(entry, row);
  std::string places = "?";
  for (const Value& value : values) {
    Encode(value, row);
    places += ", ?";
  }
  CLOISTER_ASSIGN_OR_RETURN(Statement insert,
                            database.Prepare("INSERT INTO " + table + " VALUES(" + places + ")"));
  insert.Bind(entry);
  for (const Value& value : values) insert.BindValue(value);
  CLOISTER_RETURN_IF_ERROR(insert.Run());
  head_ = {entry, Next(head_, row)};
  CLOISTER_ASSIGN_OR_RETURN(Statement update,
                            database.Prepare("UPDATE seal SET entries = ?, chain = ?"));
  return update.Bind(head_.entries).Bind(head_.chain).Run();
}

}  // namespace cloister::dp
