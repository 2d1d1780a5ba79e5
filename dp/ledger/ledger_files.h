#pragma once

// Inside dp/ledger/ only: the three files of a ledger and its schema.
//
//   LEDGER        SQLite, mode 0600 (with LEDGER-wal and LEDGER-shm while open)
//   LEDGER.key    32 random bytes, mode 0600: the key of the units' hashes
//   LEDGER.lock   empty; locked while a process writes

#include <filesystem>
#include <utility>

#include "base/result.h"
#include "dp/ledger/sqlite.h"
#include "security/secret_bytes.h"

namespace cloister::dp {

// An advisory lock (flock) that ends with its owner, also when that is killed.
class FileLock {
 public:
  // kUnavailable when another holds it.
  static base::Result<FileLock> Take(const std::filesystem::path& path);
  FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_;
};

// The key beside the ledger: made when neither it nor the ledger is there. kDataLoss when the
// ledger is there without it: another key would give every unit a fresh budget.
base::Result<security::SecretBytes> ReadOrMakeKey(const std::filesystem::path& ledger);

// Opens the database for writing, made whole under another name first where it is absent, and
// checks that it is a sound ledger of this version, made with this key.
base::Result<Database> OpenForWriting(const std::filesystem::path& path,
                                      const security::SecretBytes& key);
base::Result<Database> OpenForReading(const std::filesystem::path& path);

}  // namespace cloister::dp
