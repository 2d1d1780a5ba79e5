#include "trainer/data/data_units.h"

#include <unordered_map>

#include "security/primitives.h"

namespace cloister::trainer {
namespace {

// Apart from every hash of a conversation: those begin with a length.
std::string NameHash(const std::string& name) {
  security::Sha256 hash;
  hash.Update("user:").Update(name);
  return security::Hex(hash.Finish());
}

}  // namespace

base::Result<DataUnits> DataUnits::Of(const ChatFile& file, dp::PrivacyUnit unit) {
  DataUnits units;
  units.ledger_keys_ = file.record_hashes();
  if (unit == dp::PrivacyUnit::kRecord) {
    for (std::int64_t record = 0; record < file.size(); ++record) {
      units.records_.push_back({record});
    }
    return units;
  }
  std::unordered_map<std::string, std::size_t> index;
  for (std::int64_t record = 0; record < file.size(); ++record) {
    const std::string& name = file.unit_name(record);
    if (name.empty() || name.size() > kMaxName) {
      return base::Fail(base::Code::kDataLoss,
                        file.Where(record) + ": field 'unit' is not a text of 1 to " +
                            std::to_string(kMaxName) +
                            " bytes: privacy unit 'user' needs to know whose each record is");
    }
    const auto [found, added] = index.emplace(name, units.records_.size());
    if (added) {
      units.records_.emplace_back();
      units.ledger_keys_.push_back(NameHash(name));
    }
    units.records_[found->second].push_back(record);
  }
  return units;
}

}  // namespace cloister::trainer
