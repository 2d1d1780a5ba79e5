#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "trainer/data/record_index.h"

namespace cloister::trainer {

// The entries of an index, which must outlive it, from the first to the last. For one caller.
class IndexReader {
 public:
  explicit IndexReader(const RecordIndex& index) : index_(index) {}

  // Until the next call; null behind the last.
  base::Result<const RecordIndex::Entry*> Next() {
    if (at_ == block_.size()) {
      constexpr std::int64_t kBlock = 4096;
      first_ += static_cast<std::int64_t>(block_.size());
      block_.resize(static_cast<std::size_t>(std::min(kBlock, index_.size() - first_)));
      at_ = 0;
      if (block_.empty()) return nullptr;
      CLOISTER_RETURN_IF_ERROR(index_.Read(first_, block_));
    }
    return &block_[at_++];
  }

 private:
  const RecordIndex& index_;
  std::int64_t first_ = 0;  // of the block
  std::vector<RecordIndex::Entry> block_;
  std::size_t at_ = 0;
};

// visit(number, entry) -> base::Status of each entry, up to the first failure.
template <typename Visit>
base::Status WalkIndex(const RecordIndex& index, const Visit& visit) {
  IndexReader reader(index);
  for (std::int64_t record = 0;; ++record) {
    CLOISTER_ASSIGN_OR_RETURN(const RecordIndex::Entry* entry, reader.Next());
    if (entry == nullptr) return {};
    CLOISTER_RETURN_IF_ERROR(visit(record, *entry));
  }
}

}  // namespace cloister::trainer
