#pragma once

// Inside dp/ledger/ only: the files of a ledger.
//
//   LEDGER          SQLite with a rollback journal, synchronous EXTRA, mode 0600: all that was
//                   committed. One name: a link to it would have another journal and another lock
//   LEDGER.key      32 random bytes, mode 0600: the key of the units' hashes and of the seal
//   LEDGER.lock     empty; locked while a process opens the ledger for writing
//   LEDGER-journal  only while something is written, or after a crash then: what LEDGER was before.
//                   The next opening, also for looking, puts that back. Without it, LEDGER as the
//                   crash left it is either of the two states or, by its seal, no ledger
//   LEDGER.new      only while a ledger is made, or after a crash then: the ledger without a data
//                   set (with LEDGER.new-journal)
//
// LEDGER-wal and LEDGER-shm are never made; where one of them stands, something else wrote.

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

// The key of a ledger that is there. kNotFound where the ledger is not.
base::Result<security::SecretBytes> ReadKey(const std::filesystem::path& ledger);

// Opens the database and checks that it is a sound one of this version, made with this key. What
// it says is dp/ledger/seal.h's to verify.
base::Result<Database> OpenForWriting(const std::filesystem::path& path,
                                      const security::SecretBytes& key);
base::Result<Database> OpenForReading(const std::filesystem::path& path,
                                      const security::SecretBytes& key);

}  // namespace cloister::dp
