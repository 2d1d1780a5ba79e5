#include "trainer/data/record_index.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace cloister::trainer {
namespace {

constexpr std::size_t kEntry = sizeof(RecordIndex::Entry);
static_assert(kEntry == 72 && std::is_trivially_copyable_v<RecordIndex::Entry>);

std::uint64_t OffsetOf(std::int64_t entry) { return static_cast<std::uint64_t>(entry) * kEntry; }

}  // namespace

RecordIndex::RecordIndex(std::size_t memory) : most_(std::max<std::size_t>(1, memory / kEntry)) {}

base::Status RecordIndex::Append(const Entry& entry) {
  if (last_.size() == most_) {
    if (!file_) {
      CLOISTER_ASSIGN_OR_RETURN(file_, RandomAccessFile::Temporary());
    }
    const auto bytes =
        std::span<const char>(reinterpret_cast<const char*>(last_.data()), last_.size() * kEntry);
    CLOISTER_RETURN_IF_ERROR(file_->Write(OffsetOf(written_), bytes));
    written_ += static_cast<std::int64_t>(last_.size());
    last_.clear();
  }
  last_.push_back(entry);
  return {};
}

base::Status RecordIndex::Read(std::int64_t first, std::span<Entry> entries) const {
  const auto count = static_cast<std::int64_t>(entries.size());
  CLOISTER_CHECK(first >= 0 && first + count <= size());
  const std::int64_t stored = std::clamp<std::int64_t>(written_ - first, 0, count);
  if (stored > 0) {
    const std::span<char> bytes(reinterpret_cast<char*>(entries.data()),
                                static_cast<std::size_t>(stored) * kEntry);
    CLOISTER_ASSIGN_OR_RETURN(const std::size_t got, file_->Read(OffsetOf(first), bytes));
    if (got != bytes.size()) {
      return base::Fail(base::Code::kDataLoss,
                        "temporary index of the data was cut short: start again");
    }
  }
  if (stored < count) {
    const auto from = last_.begin() + (first + stored - written_);
    std::copy(from, from + (count - stored), entries.begin() + stored);
  }
  return {};
}

base::Result<RecordIndex::Entry> RecordIndex::At(std::int64_t index) const {
  Entry entry;
  CLOISTER_RETURN_IF_ERROR(Read(index, std::span(&entry, 1)));
  return entry;
}

}  // namespace cloister::trainer
