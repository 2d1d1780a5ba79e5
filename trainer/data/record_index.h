#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "security/primitives.h"
#include "trainer/data/random_access_file.h"
#include "trainer/data/row_key.h"

namespace cloister::trainer {

// Where the records of a file stand, 72 bytes each: in memory up to a bound, and from there on in a
// temporary file, so that a data set of any size takes the same memory. Reading is thread-safe.
class RecordIndex {
 public:
  static constexpr std::uint32_t kNoUnit = std::numeric_limits<std::uint32_t>::max();
  struct Entry {
    std::uint64_t offset = 0;
    std::uint64_t line = 0;  // where it begins, counted from 1
    std::uint32_t size = 0;  // bytes
    std::uint32_t unit = kNoUnit;
    security::Sha256Digest hash{};
    RowKey row{};  // zeros: none
  };
  static constexpr std::size_t kMemory = std::size_t{16} << 20;

  // `memory`: bytes that entries may take in memory.
  explicit RecordIndex(std::size_t memory = kMemory);

  std::int64_t size() const { return written_ + static_cast<std::int64_t>(last_.size()); }
  // kUnavailable where a temporary file finds no room.
  base::Status Append(const Entry& entry);
  // Entries [first, first + size of entries), which must be there.
  base::Status Read(std::int64_t first, std::span<Entry> entries) const;
  base::Result<Entry> At(std::int64_t index) const;

 private:
  std::size_t most_;          // entries in memory
  std::vector<Entry> last_;   // those behind the file's
  std::int64_t written_ = 0;  // entries in the file
  std::optional<RandomAccessFile> file_;
};

}  // namespace cloister::trainer
