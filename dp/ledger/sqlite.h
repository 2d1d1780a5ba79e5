#pragma once

// Inside dp/ledger/ only: SQLite with errors as Results.

#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace cloister::dp {

// How long one process waits for what another does with a ledger.
inline constexpr std::chrono::seconds kPatience{30};

// What a column holds.
using Value =
    std::variant<std::monostate, std::int64_t, double, std::string, std::vector<std::uint8_t>>;

// One prepared statement, bound in order and stepped. Text and bytes are copied when bound.
class Statement {
 public:
  Statement& Bind(const std::string& text);
  Statement& Bind(std::int64_t number);
  Statement& Bind(double number);
  Statement& Bind(std::span<const std::uint8_t> bytes);
  Statement& BindNull();
  Statement& BindValue(const Value& value);

  // True for a row, false at the end; an Error of the database otherwise.
  base::Result<bool> Step();
  // For statements without rows.
  base::Status Run();
  void Reset();

  // Columns of the current row, from 0. Text and Bytes never fail; an absent value is empty.
  std::string Text(int column) const;
  std::span<const std::uint8_t> Bytes(int column) const;  // until the next Step or Reset
  std::int64_t Integer(int column) const;
  double Real(int column) const;
  bool IsNull(int column) const;
  int Columns() const;
  Value Stored(int column) const;  // by what is stored, whatever was declared

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  Statement(sqlite3_stmt* statement, std::string where)
      : statement_(statement), where_(std::move(where)) {}

  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  std::string where_;
  int bound_ = 0;
};

class Database {
 public:
  // Who only reads changes nothing that was committed, but rolls back what a writer that was
  // stopped left half-written, where the file's permissions let it.
  enum class Access { kReadOnly, kReadWrite };
  static base::Result<Database> Open(const std::filesystem::path& path, Access access);

  base::Result<Statement> Prepare(const std::string& sql) const;
  base::Status Execute(const std::string& sql) const;
  const std::string& where() const { return where_; }

 private:
  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
  };
  Database(sqlite3* database, std::string where) : database_(database), where_(std::move(where)) {}

  std::unique_ptr<sqlite3, Close> database_;
  std::string where_;  // the file, for error texts
};

// One state of the ledger, alone for writing (BEGIN IMMEDIATE … COMMIT) or beside others for
// reading; rolled back when destroyed before Commit.
class Transaction {
 public:
  static base::Result<Transaction> Begin(const Database& database);
  static base::Result<Transaction> BeginReading(const Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  base::Status Commit();

 private:
  explicit Transaction(const Database* database) : database_(database) {}
  const Database* database_;
};

}  // namespace cloister::dp
