#include "federation/coordinator/state.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <variant>

namespace cloister::federation::coordinator {
namespace {

constexpr char kSchema[] = R"(
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS job(
    hash TEXT PRIMARY KEY, canonical BLOB NOT NULL, submitter TEXT NOT NULL,
    signature TEXT NOT NULL, started TEXT NOT NULL DEFAULT (datetime('now')),
    ended TEXT, outcome TEXT) STRICT;
  CREATE TABLE IF NOT EXISTS transition(
    id INTEGER PRIMARY KEY, job TEXT NOT NULL REFERENCES job(hash), round INTEGER NOT NULL,
    attempt INTEGER NOT NULL, phase TEXT NOT NULL, sites TEXT NOT NULL, message BLOB NOT NULL,
    time TEXT NOT NULL DEFAULT (datetime('now'))) STRICT;
  CREATE TABLE IF NOT EXISTS round(
    job TEXT NOT NULL REFERENCES job(hash), round INTEGER NOT NULL, attempt INTEGER NOT NULL,
    survivors TEXT NOT NULL, sum_sha256 TEXT NOT NULL, parameters BLOB NOT NULL,
    time TEXT NOT NULL DEFAULT (datetime('now')), PRIMARY KEY(job, round)) STRICT;
)";

using Blob = std::span<const std::uint8_t>;
using Value = std::variant<std::int64_t, std::string, Blob>;

tl::unexpected<base::Error> Failed(sqlite3* database, const std::string& what) {
  const int code = sqlite3_extended_errcode(database);
  const char* file = sqlite3_db_filename(database, "main");
  const std::string where = file != nullptr ? file : "the coordinator's state";
  if (code == SQLITE_CONSTRAINT_PRIMARYKEY) {
    return base::Fail(base::Code::kAlreadyExists, where + ": " + what + " is there already");
  }
  if ((code & 0xff) == SQLITE_BUSY) {
    return base::Fail(base::Code::kFailedPrecondition,
                      where + ": another coordinator uses it: give each its own --state");
  }
  return base::Fail(base::Code::kDataLoss, where + ": cannot write " + what + " (" +
                                               sqlite3_errmsg(database) +
                                               "): check the disk and its rights");
}

struct Binder {
  sqlite3_stmt* statement;
  int index;
  void operator()(std::int64_t value) const { sqlite3_bind_int64(statement, index, value); }
  void operator()(const std::string& text) const {
    sqlite3_bind_text(statement, index, text.data(), static_cast<int>(text.size()),
                      SQLITE_TRANSIENT);
  }
  void operator()(Blob bytes) const {
    // A null pointer would bind NULL where an empty blob is meant.
    sqlite3_bind_blob64(statement, index,
                        bytes.empty() ? reinterpret_cast<const void*>("") : bytes.data(),
                        bytes.size(), SQLITE_TRANSIENT);
  }
};

base::Status Run(sqlite3* database, const char* sql, std::initializer_list<Value> values,
                 const std::string& what) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(database, sql, -1, &statement, nullptr) != SQLITE_OK) {
    return Failed(database, what);
  }
  int index = 1;
  for (const Value& value : values) std::visit(Binder{statement, index++}, value);
  const int result = sqlite3_step(statement);
  base::Status status;
  if (result != SQLITE_DONE) status = Failed(database, what);
  sqlite3_finalize(statement);
  return status;
}

std::string Joined(std::span<const std::string> words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ",") + word;
  return text;
}

std::string TextOf(sqlite3_stmt* statement, int column) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
  return text == nullptr ? std::string() : std::string(text);
}

}  // namespace

base::Result<std::unique_ptr<State>> State::Open(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const std::string path = (folder / "coordinator.sqlite").string();
  sqlite3* database = nullptr;
  const mode_t mask = ::umask(0077);
  const int opened = sqlite3_open(path.c_str(), &database);
  std::unique_ptr<State> state(new State(database));
  const bool ready = opened == SQLITE_OK &&
                     sqlite3_exec(database, kSchema, nullptr, nullptr, nullptr) == SQLITE_OK;
  ::umask(mask);
  if (!ready) return Failed(database, "its tables");
  return state;
}

State::~State() { sqlite3_close(database_); }

base::Status State::StartJob(const security::Sha256Digest& hash, const job::SignedJob& job) {
  return Run(database_, "INSERT INTO job(hash, canonical, submitter, signature) VALUES(?,?,?,?)",
             {security::Hex(hash),
              Blob(reinterpret_cast<const std::uint8_t*>(job.job.data()), job.job.size()),
              security::Hex(job.submitter), security::Hex(job.signature)},
             "job " + security::Hex(hash).substr(0, 16));
}

base::Status State::EndJob(const security::Sha256Digest& hash, const std::string& outcome) {
  return Run(database_, "UPDATE job SET ended = datetime('now'), outcome = ? WHERE hash = ?",
             {outcome, security::Hex(hash)}, "the job's end");
}

base::Status State::Transition(const protocol::AttemptId& attempt, const std::string& phase,
                               std::span<const std::string> sites,
                               std::span<const std::uint8_t> message) {
  return Run(database_,
             "INSERT INTO transition(job, round, attempt, phase, sites, message) "
             "VALUES(?,?,?,?,?,?)",
             {security::Hex(attempt.job), static_cast<std::int64_t>(attempt.round),
              static_cast<std::int64_t>(attempt.attempt), phase, Joined(sites), message},
             "phase " + phase);
}

base::Status State::FinishRound(const protocol::AttemptId& attempt,
                                std::span<const std::string> survivors,
                                const security::Sha256Digest& sum,
                                std::span<const std::uint8_t> parameters) {
  return Run(database_,
             "INSERT INTO round(job, round, attempt, survivors, sum_sha256, parameters) "
             "VALUES(?,?,?,?,?,?)",
             {security::Hex(attempt.job), static_cast<std::int64_t>(attempt.round),
              static_cast<std::int64_t>(attempt.attempt), Joined(survivors), security::Hex(sum),
              parameters},
             "round " + std::to_string(attempt.round));
}

base::Result<std::vector<State::Row>> State::Transitions(const security::Sha256Digest& job) const {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(database_,
                         "SELECT round, attempt, phase, sites FROM transition WHERE job = ? "
                         "ORDER BY id",
                         -1, &statement, nullptr) != SQLITE_OK) {
    return Failed(database_, "the transitions");
  }
  Binder{statement, 1}(security::Hex(job));
  std::vector<Row> rows;
  while (sqlite3_step(statement) == SQLITE_ROW) {
    rows.push_back({static_cast<std::uint64_t>(sqlite3_column_int64(statement, 0)),
                    static_cast<std::uint64_t>(sqlite3_column_int64(statement, 1)),
                    TextOf(statement, 2), TextOf(statement, 3)});
  }
  sqlite3_finalize(statement);
  return rows;
}

}  // namespace cloister::federation::coordinator
