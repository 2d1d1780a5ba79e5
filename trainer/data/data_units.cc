#include "trainer/data/data_units.h"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "security/primitives.h"
#include "trainer/data/index_walk.h"

namespace cloister::trainer {
namespace {

std::string_view View(std::span<const std::uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

base::Result<DataUnits> DataUnits::Of(const RecordFile& file, dp::PrivacyUnit unit) {
  DataUnits units;
  if (unit == dp::PrivacyUnit::kRecord) {
    units.count_ = file.size();
    return units;
  }
  // Sorted by counting: how many each has, where each begins, and then each record to its place.
  std::vector<std::int64_t> next(file.units().size() + 1, 0);
  const auto count = [&](std::int64_t record, const RecordIndex::Entry& entry) -> base::Status {
    if (entry.unit == RecordIndex::kNoUnit) {
      return base::Fail(base::Code::kDataLoss,
                        file.Where(record) + ": field '" + file.layout().columns.unit +
                            "' is not a text of 1 to " + std::to_string(RecordFile::kMaxUnitName) +
                            " bytes: privacy unit 'user' needs to know whose each record is");
    }
    ++next[entry.unit + 1];
    return {};
  };
  CLOISTER_RETURN_IF_ERROR(WalkIndex(file.index(), count));
  for (std::size_t i = 1; i < next.size(); ++i) next[i] += next[i - 1];
  units.starts_ = next;
  units.records_.resize(static_cast<std::size_t>(file.size()));
  const auto place = [&](std::int64_t record, const RecordIndex::Entry& entry) -> base::Status {
    units.records_[static_cast<std::size_t>(next[entry.unit]++)] = record;
    return {};
  };
  CLOISTER_RETURN_IF_ERROR(WalkIndex(file.index(), place));
  return units;
}

std::int64_t DataUnits::size() const {
  return starts_.empty() ? count_ : static_cast<std::int64_t>(starts_.size()) - 1;
}

std::vector<std::int64_t> DataUnits::records(std::int64_t index) const {
  if (starts_.empty()) return {index};
  const auto at = static_cast<std::size_t>(index);
  return {records_.begin() + starts_[at], records_.begin() + starts_[at + 1]};
}

dp::UnitSource LedgerKeys(const RecordFile& file, dp::PrivacyUnit unit) {
  struct State {
    explicit State(const RecordIndex& index) : reader(index) {}
    IndexReader reader;
    RecordIndex::Entry entry;
    bool row = false;  // whether the entry's row is still to be given
    std::size_t user = 0;
  };
  const auto state = std::make_shared<State>(file.index());
  const bool users = unit == dp::PrivacyUnit::kUser;
  const auto owner = [&file, users, state] {
    return users ? View(file.units()[state->entry.unit]) : std::string_view();
  };
  return [state, &file, users, owner]() -> base::Result<std::optional<dp::UnitKey>> {
    if (std::exchange(state->row, false)) return dp::UnitKey{View(state->entry.row), owner()};
    CLOISTER_ASSIGN_OR_RETURN(const RecordIndex::Entry* entry, state->reader.Next());
    if (entry != nullptr) {
      state->entry = *entry;
      state->row = entry->row != RowKey{};
      return dp::UnitKey{View(state->entry.hash), owner()};
    }
    if (!users || state->user == file.units().size()) return std::nullopt;
    return dp::UnitKey{View(file.units()[state->user++]), {}};
  };
}

}  // namespace cloister::trainer
