#include "dp/ledger/ledger_files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>

#include "base/file.h"
#include "base/sync.h"
#include "dp/ledger/schema.h"
#include "dp/ledger/seal.h"
#include "security/primitives.h"
#include "security/random.h"

namespace cloister::dp {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kKeySize = 32;
// EXTRA: a journal's removal, which is the commit, is on the disk before the commit returns.
constexpr char kDurable[] = "PRAGMA synchronous=EXTRA; PRAGMA foreign_keys=ON";

constexpr char kKey[] = ".key";
constexpr char kFresh[] = ".new";
constexpr char kJournal[] = "-journal";
constexpr char kLog[] = "-wal";

fs::path Beside(const fs::path& path, const char* suffix) { return path.string() + suffix; }

bool IsThere(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

std::string System() { return std::strerror(errno); }

tl::unexpected<base::Error> NoLedger(const std::string& what, const fs::path& path) {
  return base::Fail(
      base::Code::kDataLoss,
      what + ", " + path.string() +
          ": restore the newest copy (an older one forgets what was spent), or name the "
          "ledger of this data");
}

// Binds the database to its key without telling the key.
std::string KeyCheck(const security::SecretBytes& key) {
  const std::string label = "cloister ledger key check";
  return security::Hex(security::HmacSha256(
      key.bytes(), {reinterpret_cast<const std::uint8_t*>(label.data()), label.size()}));
}

base::Result<std::int64_t> ReadPragma(const Database& database, const std::string& name) {
  CLOISTER_ASSIGN_OR_RETURN(Statement statement, database.Prepare("PRAGMA " + name));
  CLOISTER_ASSIGN_OR_RETURN(const bool row, statement.Step());
  return row ? statement.Integer(0) : 0;
}

// With a write-ahead log, what was spent last would stand in another file.
base::Status CheckJournalMode(const Database& database, const std::string& sql,
                              const fs::path& path) {
  CLOISTER_ASSIGN_OR_RETURN(Statement statement, database.Prepare(sql));
  CLOISTER_ASSIGN_OR_RETURN(const bool row, statement.Step());
  if (row && statement.Text(0) == "delete") return {};
  return NoLedger("privacy ledger with another journal than this program's", path);
}

// Its spends cannot be read here, and a new ledger does not know them.
tl::unexpected<base::Error> OtherVersion(std::int64_t version, const fs::path& path) {
  return base::Fail(
      base::Code::kDataLoss,
      "privacy ledger of version " + std::to_string(version) +
          ", where this program knows version " + std::to_string(kLedgerVersion) + " alone, " +
          path.string() +
          ": keep using the program version that made it, or start a new ledger for new data "
          "only; what this one recorded counts as spent on its data");
}

base::Status CheckIsLedger(const Database& database, const fs::path& path) {
  CLOISTER_ASSIGN_OR_RETURN(const std::int64_t application, ReadPragma(database, "application_id"));
  if (application != kLedgerApplication) return NoLedger("not a privacy ledger", path);
  CLOISTER_ASSIGN_OR_RETURN(const std::int64_t version, ReadPragma(database, "user_version"));
  if (version != kLedgerVersion) {
    return OtherVersion(version, path);
  }
  CLOISTER_RETURN_IF_ERROR(CheckJournalMode(database, "PRAGMA journal_mode", path));
  // Also that each index has its rows: the seal is over tables, and they are searched by indexes.
  CLOISTER_ASSIGN_OR_RETURN(Statement check, database.Prepare("PRAGMA integrity_check(1)"));
  CLOISTER_ASSIGN_OR_RETURN(const bool row, check.Step());
  if (!row || check.Text(0) != "ok") return NoLedger("damaged privacy ledger", path);
  // What a ledger has no use for, and a hostile file might.
  CLOISTER_ASSIGN_OR_RETURN(
      Statement foreign,
      database.Prepare("SELECT count(*) FROM sqlite_master WHERE type NOT IN ('table', 'index')"));
  CLOISTER_ASSIGN_OR_RETURN(const bool counted, foreign.Step());
  if (!counted || foreign.Integer(0) != 0) return NoLedger("not a privacy ledger", path);
  return {};
}

// What stands where a journal belongs is opened by SQLite, which would wait on a pipe.
base::Status CheckJournal(const fs::path& path) {
  struct stat status {};
  const fs::path journal = Beside(path, kJournal);
  if (::lstat(journal.c_str(), &status) != 0 || S_ISREG(status.st_mode)) return {};
  return base::Fail(base::Code::kDataLoss, "the privacy ledger's journal is no regular file, " +
                                               journal.string() +
                                               ": remove what stands there, which no ledger made");
}

base::Status CheckFile(const fs::path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    return base::Fail(base::Code::kNotFound, "no privacy ledger (" + System() + "), " +
                                                 path.string() + ": check the path");
  }
  if (!S_ISREG(status.st_mode)) return NoLedger("privacy ledger is no regular file", path);
  // SQLite would take an empty file for a new database: a fresh budget.
  if (status.st_size == 0) return NoLedger("privacy ledger is empty", path);
  if (status.st_nlink > 1) {
    return base::Fail(base::Code::kDataLoss,
                      "the privacy ledger has " + std::to_string(status.st_nlink) +
                          " names (hard links), " + path.string() +
                          ": remove the others, since under each it would have another journal "
                          "and lock; a backup is a copy");
  }
  if (IsThere(Beside(path, kLog))) {
    return NoLedger("a write-ahead log, " + Beside(path, kLog).string() +
                        ", which this program never makes, stands beside the privacy ledger",
                    path);
  }
  return CheckJournal(path);
}

base::Status Fill(const fs::path& path, const security::SecretBytes& key) {
  CLOISTER_ASSIGN_OR_RETURN(const Database database,
                            Database::Open(path, Database::Access::kReadWrite));
  CLOISTER_RETURN_IF_ERROR(database.Execute(kDurable));
  CLOISTER_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(database));
  CLOISTER_RETURN_IF_ERROR(database.Execute(
      "PRAGMA application_id=" + std::to_string(kLedgerApplication) +
      "; PRAGMA user_version=" + std::to_string(kLedgerVersion) + ";" + kLedgerSchema));
  {
    CLOISTER_ASSIGN_OR_RETURN(
        Statement insert, database.Prepare("INSERT INTO meta(name, value) VALUES('key check', ?)"));
    CLOISTER_RETURN_IF_ERROR(insert.Bind(KeyCheck(key)).Run());
  }
  CLOISTER_RETURN_IF_ERROR(Seal(key).Begin(database));
  return transaction.Commit();
}

base::Status CheckKey(const Database& database, const security::SecretBytes& key,
                      const fs::path& path) {
  CLOISTER_ASSIGN_OR_RETURN(Statement statement,
                            database.Prepare("SELECT value FROM meta WHERE name = 'key check'"));
  CLOISTER_ASSIGN_OR_RETURN(const bool row, statement.Step());
  if (row && statement.Text(0) == KeyCheck(key)) return {};
  return NoLedger("the key beside the privacy ledger is another ledger's", path);
}

tl::unexpected<base::Error> CannotMake(const fs::path& path, const std::string& mend) {
  return base::Fail(base::Code::kUnavailable, "cannot make the privacy ledger (" + System() +
                                                  "), " + path.string() + ": " + mend);
}

// For a file or a folder.
base::Status Sync(const fs::path& path) {
  if (base::SyncPath(path)) return {};
  return CannotMake(path, "check the folder and the disk");
}

fs::path FolderOf(const fs::path& path) { return fs::absolute(path).parent_path(); }

base::Status MoveIntoPlace(const fs::path& fresh, const fs::path& path) {
  if (::rename(fresh.c_str(), path.c_str()) == 0) return Sync(FolderOf(path));
  return CannotMake(path, "check the folder and the disk");
}

base::Status FillFresh(const fs::path& fresh, const security::SecretBytes& key) {
  const int fd = ::open(fresh.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) return CannotMake(fresh, "its folder must exist and be writable");
  ::close(fd);
  CLOISTER_RETURN_IF_ERROR(Fill(fresh, key));
  CLOISTER_RETURN_IF_ERROR(Sync(fresh));
  return Sync(FolderOf(fresh));
}

base::Result<Database> OpenSound(const fs::path& path, const security::SecretBytes& key,
                                 Database::Access access) {
  CLOISTER_RETURN_IF_ERROR(CheckFile(path));
  CLOISTER_ASSIGN_OR_RETURN(Database database, Database::Open(path, access));
  CLOISTER_RETURN_IF_ERROR(CheckIsLedger(database, path));
  CLOISTER_RETURN_IF_ERROR(CheckKey(database, key, path));
  return database;
}

// The ledger under another name, then the key, then the ledger's own name, each durable before the
// next: a key without a ledger and without LEDGER.new is never what a crash leaves.
base::Result<security::SecretBytes> Create(const fs::path& path) {
  const fs::path fresh = Beside(path, kFresh);
  std::error_code ignored;
  // What an earlier try left. An old journal would be played into the new file.
  for (const char* const rest : {kJournal, kLog, "-shm", ""}) {
    fs::remove(Beside(fresh, rest), ignored);
  }
  security::SecretBytes key = security::RandomSecret(kKeySize);
  const std::string_view bytes(reinterpret_cast<const char*>(key.bytes().data()), key.size());
  base::Status made = FillFresh(fresh, key);
  if (made) made = base::WriteFile(Beside(path, kKey), bytes, base::AtomicFile::kPrivateMode);
  if (!made) {
    fs::remove(fresh, ignored);
    return tl::unexpected(made.error());
  }
  CLOISTER_RETURN_IF_ERROR(MoveIntoPlace(fresh, path));
  return key;
}

tl::unexpected<base::Error> LedgerIsGone(const fs::path& path, const char* trace,
                                         const std::string& detail = "") {
  const std::string beside = Beside(path, trace).string();
  return base::Fail(
      base::Code::kDataLoss,
      "the privacy ledger is missing, " + path.string() + ", though " + beside + " is there" +
          detail +
          ": restore the ledger's newest copy, since an older one forgets what was spent; only "
          "where nothing was ever released from its data, remove " +
          beside + " to start anew");
}

tl::unexpected<base::Error> KeyIsGone(const fs::path& ledger) {
  return base::Fail(base::Code::kDataLoss, "the privacy ledger's key is missing, " +
                                               Beside(ledger, kKey).string() + ", though " +
                                               ledger.string() +
                                               " is there: restore it from a backup; without it "
                                               "no unit is recognised, and no spend verified");
}

// What a write that was cut short left of a ledger that is gone would be played into a new one.
base::Status CheckNoTrace(const fs::path& path) {
  for (const char* const trace : {kJournal, kLog}) {
    if (IsThere(Beside(path, trace))) return LedgerIsGone(path, trace);
  }
  return {};
}

// A ledger of this key that no data set was ever registered in.
base::Status CheckUnused(const fs::path& fresh, const security::SecretBytes& key) {
  CLOISTER_ASSIGN_OR_RETURN(const Database database,
                            OpenSound(fresh, key, Database::Access::kReadWrite));
  CLOISTER_ASSIGN_OR_RETURN(const Transaction snapshot, Transaction::BeginReading(database));
  Seal seal(key);
  CLOISTER_RETURN_IF_ERROR(seal.Verify(database));
  if (seal.entries() == 0) return {};
  return NoLedger("a ledger in use under the name of a half-made one", fresh);
}

// The key is there, the ledger is not.
base::Status CompleteCreation(const fs::path& path, const security::SecretBytes& key) {
  const fs::path fresh = Beside(path, kFresh);
  if (!IsThere(fresh)) return LedgerIsGone(path, kKey);
  CLOISTER_RETURN_IF_ERROR(CheckNoTrace(path));
  if (base::Status unused = CheckUnused(fresh, key); !unused) {
    if (unused.error().code != base::Code::kDataLoss) return unused;
    return LedgerIsGone(
        path, kKey, ", and " + fresh.string() + " beside it is no half-made ledger of this key");
  }
  return MoveIntoPlace(fresh, path);
}

base::Result<security::SecretBytes> ReadKeyFile(const fs::path& path) {
  std::error_code ignored;
  if (const fs::file_status key = fs::status(path, ignored);
      fs::exists(key) && !fs::is_regular_file(key)) {
    return base::Fail(base::Code::kDataLoss, "the privacy ledger's key is no regular file, " +
                                                 path.string() + ": restore it from a backup");
  }
  CLOISTER_ASSIGN_OR_RETURN(const std::string text, base::ReadRegularFile(path, kKeySize + 1));
  if (text.size() != kKeySize) {
    return base::Fail(base::Code::kDataLoss, "the privacy ledger's key is damaged, " +
                                                 path.string() + ": restore it from a backup");
  }
  return security::SecretBytes(
      std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}

}  // namespace

base::Result<FileLock> FileLock::Take(const fs::path& path) {
  const int fd =
      ::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
  // A link, a folder, and a socket or a device that nobody serves.
  const bool other = fd < 0 && (errno == ELOOP || errno == EISDIR || errno == ENXIO);
  if (fd < 0 && !other) {
    return base::Fail(base::Code::kUnavailable, "cannot open the lock (" + System() + "), " +
                                                    path.string() +
                                                    ": its folder must exist and be writable");
  }
  FileLock lock(fd);
  struct stat status {};
  if (other || ::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    return base::Fail(base::Code::kDataLoss, "the privacy ledger's lock is no regular file, " +
                                                 path.string() +
                                                 ": remove what stands there, which no ledger "
                                                 "made");
  }
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (std::chrono::steady_clock::now() >= deadline) {
      return base::Fail(base::Code::kUnavailable,
                        "another process is opening the privacy ledger, " + path.string() +
                            ": wait for it to end");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return lock;
}

FileLock::~FileLock() {
  if (fd_ >= 0) ::close(fd_);
}

base::Result<security::SecretBytes> ReadKeyOrCreate(const fs::path& ledger) {
  std::error_code ignored;
  if (fs::is_directory(ledger, ignored)) {
    return base::Fail(base::Code::kInvalidArgument,
                      "the privacy ledger is a folder, " + ledger.string() + ": name a file");
  }
  if (IsThere(ledger)) CLOISTER_RETURN_IF_ERROR(CheckFile(ledger));
  const fs::path path = Beside(ledger, kKey);
  if (!IsThere(path)) {
    if (IsThere(ledger)) return KeyIsGone(ledger);
    CLOISTER_RETURN_IF_ERROR(CheckNoTrace(ledger));
    return Create(ledger);
  }
  CLOISTER_ASSIGN_OR_RETURN(security::SecretBytes key, ReadKeyFile(path));
  if (!IsThere(ledger)) CLOISTER_RETURN_IF_ERROR(CompleteCreation(ledger, key));
  return key;
}

base::Result<security::SecretBytes> ReadKey(const fs::path& ledger) {
  CLOISTER_RETURN_IF_ERROR(CheckFile(ledger));
  if (!IsThere(Beside(ledger, kKey))) return KeyIsGone(ledger);
  return ReadKeyFile(Beside(ledger, kKey));
}

base::Result<Database> OpenForWriting(const fs::path& path, const security::SecretBytes& key) {
  CLOISTER_ASSIGN_OR_RETURN(Database database, OpenSound(path, key, Database::Access::kReadWrite));
  CLOISTER_RETURN_IF_ERROR(CheckJournalMode(database, "PRAGMA journal_mode=DELETE", path));
  CLOISTER_RETURN_IF_ERROR(database.Execute(kDurable));
  return database;
}

base::Result<Database> OpenForReading(const fs::path& path, const security::SecretBytes& key) {
  return OpenSound(path, key, Database::Access::kReadOnly);
}

}  // namespace cloister::dp
