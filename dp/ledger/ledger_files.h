#pragma once

// Inside dp/ledger/ only: the three files of a ledger and its schema.
//
//   LEDGER        SQLite, mode 0600 (with LEDGER-wal and LEDGER-shm while open)
//   LEDGER.key    32 random bytes, mode 0600: the key of the units' hashes
//   LEDGER.lock   empty; locked while a process opens the ledger for writing
//   LEDGER.new    only while a ledger is made, or after a crash then: the ledger without a data set

#include <filesystem>
#include <utility>

#include "base/result.h"
#include "dp/ledger/sqlite.h"
#include "security/secret_bytes.h"

namespace cloister::dp {

// An advisory lock (flock) that ends with its owner, also when that is killed.
class FileLock {
 public:
  // Waits for kPatience while another holds it, then kUnavailable.
  static base::Result<FileLock> Take(const std::filesystem::path& path);
  FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_;
};

// The key beside the ledger; both are made when neither is there. A creation that was cut short is
// begun again before its key is there and completed after. kDataLoss, naming both files, when one
// is there without the other: a new key or a new ledger would give every unit a fresh budget.
// Call under the ledger's lock.
base::Result<security::SecretBytes> ReadKeyOrCreate(const std::filesystem::path& ledger);

// Opens the database for writing and checks that it is a sound ledger of this version, made with
// this key.
base::Result<Database> OpenForWriting(const std::filesystem::path& path,
                                      const security::SecretBytes& key);
base::Result<Database> OpenForReading(const std::filesystem::path& path);

}  // namespace cloister::dp
