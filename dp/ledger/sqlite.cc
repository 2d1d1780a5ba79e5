#include "dp/ledger/sqlite.h"

#include <utility>

#include "base/check.h"

namespace cloister::dp {
namespace {

tl::unexpected<base::Error> Failed(int code, const std::string& detail, const std::string& where) {
  switch (code & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_SCHEMA:
    case SQLITE_ERROR:
      return base::Fail(
          base::Code::kDataLoss,
          "not a readable privacy ledger (" + detail + "), " + where +
              ": restore the newest copy (an older one forgets what was spent), or name the "
              "ledger of this data");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return base::Fail(base::Code::kUnavailable, "privacy ledger is busy, " + where +
                                                      ": wait for the other process that uses it");
    default:
      return base::Fail(base::Code::kUnavailable, "cannot use the privacy ledger (" + detail +
                                                      "), " + where +
                                                      ": check the folder, its permissions and "
                                                      "the disk");
  }
}

}  // namespace

Statement& Statement::Bind(const std::string& text) {
  CLOISTER_CHECK(sqlite3_bind_text64(statement_.get(), ++bound_, text.data(), text.size(),
                                     SQLITE_TRANSIENT, SQLITE_UTF8) == SQLITE_OK);
  return *this;
}

Statement& Statement::Bind(std::int64_t number) {
  CLOISTER_CHECK(sqlite3_bind_int64(statement_.get(), ++bound_, number) == SQLITE_OK);
  return *this;
}

Statement& Statement::Bind(double number) {
  CLOISTER_CHECK(sqlite3_bind_double(statement_.get(), ++bound_, number) == SQLITE_OK);
  return *this;
}

Statement& Statement::Bind(std::span<const std::uint8_t> bytes) {
  CLOISTER_CHECK(sqlite3_bind_blob64(statement_.get(), ++bound_, bytes.data(), bytes.size(),
                                     SQLITE_TRANSIENT) == SQLITE_OK);
  return *this;
}

Statement& Statement::BindNull() {
  CLOISTER_CHECK(sqlite3_bind_null(statement_.get(), ++bound_) == SQLITE_OK);
  return *this;
}

Statement& Statement::BindValue(const Value& value) {
  if (const auto* const bytes = std::get_if<std::vector<std::uint8_t>>(&value)) {
    return Bind(std::span<const std::uint8_t>(*bytes));
  }
  if (const auto* const text = std::get_if<std::string>(&value)) return Bind(*text);
  if (const auto* const real = std::get_if<double>(&value)) return Bind(*real);
  if (const auto* const number = std::get_if<std::int64_t>(&value)) return Bind(*number);
  return BindNull();
}

base::Result<bool> Statement::Step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return Failed(code, sqlite3_errmsg(sqlite3_db_handle(statement_.get())), where_);
}

base::Status Statement::Run() {
  CLOISTER_ASSIGN_OR_RETURN(const bool row, Step());
  CLOISTER_CHECK(!row);
  return {};
}

void Statement::Reset() {
  sqlite3_reset(statement_.get());
  bound_ = 0;
}

std::string Statement::Text(int column) const {
  const auto* const text = sqlite3_column_text(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  if (text == nullptr) return {};
  return std::string(reinterpret_cast<const char*>(text), static_cast<std::size_t>(size));
}

std::span<const std::uint8_t> Statement::Bytes(int column) const {
  const auto* const bytes =
      static_cast<const std::uint8_t*>(sqlite3_column_blob(statement_.get(), column));
  const int size = sqlite3_column_bytes(statement_.get(), column);
  if (bytes == nullptr) return {};
  return {bytes, static_cast<std::size_t>(size)};
}

std::int64_t Statement::Integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

double Statement::Real(int column) const { return sqlite3_column_double(statement_.get(), column); }

bool Statement::IsNull(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

int Statement::Columns() const { return sqlite3_column_count(statement_.get()); }

Value Statement::Stored(int column) const {
  switch (sqlite3_column_type(statement_.get(), column)) {
    case SQLITE_INTEGER:
      return Integer(column);
    case SQLITE_FLOAT:
      return Real(column);
    case SQLITE_TEXT:
      return Text(column);
    case SQLITE_BLOB: {
      const std::span<const std::uint8_t> bytes = Bytes(column);
      return std::vector<std::uint8_t>(bytes.begin(), bytes.end());
    }
    default:
      return std::monostate();
  }
}

base::Result<Database> Database::Open(const std::filesystem::path& path, Access access) {
  // Also for reading, or what a stopped writer left would keep everybody from looking.
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_PRIVATECACHE;
  sqlite3* raw = nullptr;
  const std::filesystem::path whole = std::filesystem::absolute(path);
  const int code = sqlite3_open_v2(whole.c_str(), &raw, flags, nullptr);
  Database database(raw, path.string());
  if (code != SQLITE_OK) {
    const std::string detail = raw == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(raw);
    return Failed(code, detail, path.string());
  }
  sqlite3_busy_timeout(raw, std::chrono::milliseconds(kPatience).count());
  // A file from outside may not run anything of its own.
  CLOISTER_CHECK(sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr) == SQLITE_OK);
  CLOISTER_CHECK(sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr) == SQLITE_OK);
  CLOISTER_CHECK(sqlite3_db_config(raw, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr) == SQLITE_OK);
  CLOISTER_CHECK(sqlite3_db_config(raw, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr) == SQLITE_OK);
  if (access == Access::kReadOnly) {
    CLOISTER_RETURN_IF_ERROR(database.Execute("PRAGMA query_only=ON"));
  }
  return database;
}

base::Result<Statement> Database::Prepare(const std::string& sql) const {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v2(database_.get(), sql.c_str(), static_cast<int>(sql.size()),
                                      &statement, nullptr);
  if (code != SQLITE_OK) return Failed(code, sqlite3_errmsg(database_.get()), where_);
  return Statement(statement, where_);
}

base::Status Database::Execute(const std::string& sql) const {
  const int code = sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return Failed(code, sqlite3_errmsg(database_.get()), where_);
  return {};
}

base::Result<Transaction> Transaction::Begin(const Database& database) {
  CLOISTER_RETURN_IF_ERROR(database.Execute("BEGIN IMMEDIATE"));
  return Transaction(&database);
}

base::Result<Transaction> Transaction::BeginReading(const Database& database) {
  CLOISTER_RETURN_IF_ERROR(database.Execute("BEGIN"));
  return Transaction(&database);
}

Transaction::~Transaction() {
  if (database_ == nullptr) return;
  // Fails only where the transaction is rolled back already.
  static_cast<void>(database_->Execute("ROLLBACK").has_value());
}

base::Status Transaction::Commit() {
  CLOISTER_RETURN_IF_ERROR(database_->Execute("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace cloister::dp
