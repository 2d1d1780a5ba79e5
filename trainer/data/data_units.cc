#include "trainer/data/data_units.h"

#include <memory>
#include <string>

#include "security/primitives.h"
#include "trainer/data/index_walk.h"

namespace cloister::trainer {

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
    std::size_t user = 0;
    std::string key;
  };
  const auto state = std::make_shared<State>(file.index());
  const bool users = unit == dp::PrivacyUnit::kUser;
  return [state, &file, users]() -> base::Result<std::optional<std::string_view>> {
    CLOISTER_ASSIGN_OR_RETURN(const RecordIndex::Entry* entry, state->reader.Next());
    if (entry != nullptr) {
      state->key = security::Hex(entry->hash);
    } else if (users && state->user < file.units().size()) {
      state->key = security::Hex(file.units()[state->user++]);
    } else {
      return std::optional<std::string_view>();
    }
    return std::optional<std::string_view>(state->key);
  };
}

}  // namespace cloister::trainer
