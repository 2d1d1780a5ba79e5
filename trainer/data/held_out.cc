#include "trainer/data/held_out.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "trainer/data/index_walk.h"

namespace cloister::trainer {
namespace {

using security::Sha256Digest;

// What of some held-out hashes also stands in a training file, and its users where they count.
class Trained {
 public:
  static base::Result<Trained> Of(const RecordFile& train, std::vector<Sha256Digest> held_out,
                                  dp::PrivacyUnit unit) {
    std::sort(held_out.begin(), held_out.end());
    Trained trained;
    const auto look = [&](std::int64_t, const RecordIndex::Entry& entry) -> base::Status {
      if (std::binary_search(held_out.begin(), held_out.end(), entry.hash)) {
        trained.records_.insert(entry.hash);
      }
      return {};
    };
    CLOISTER_RETURN_IF_ERROR(WalkIndex(train.index(), look));
    if (unit == dp::PrivacyUnit::kUser) {
      trained.users_.insert(train.units().begin(), train.units().end());
    }
    return trained;
  }

  // What is wrong with such a held-out row; null for nothing.
  const char* FaultOf(std::span<const Sha256Digest> hashes, const Sha256Digest* unit) const {
    if (unit != nullptr && users_.contains(*unit)) {
      return ": its 'unit' also stands in the training file: held-out users are not covered by ε, "
             "take it out of one of them";
    }
    const bool known = std::any_of(hashes.begin(), hashes.end(), [&](const Sha256Digest& hash) {
      return records_.contains(hash);
    });
    return known ? ": this record also stands in the training file: held-out records are not "
                   "covered by ε, take it out of one of them"
                 : nullptr;
  }

 private:
  std::set<Sha256Digest> records_, users_;
};

base::Status Verdict(const std::string& where, const char* fault) {
  if (fault == nullptr) return {};
  return base::Fail(base::Code::kDataLoss, where + fault);
}

}  // namespace

base::Status CheckDisjoint(const RecordFile& train, const RecordFile& held_out,
                           dp::PrivacyUnit unit) {
  std::vector<Sha256Digest> hashes;
  const auto collect = [&](std::int64_t, const RecordIndex::Entry& entry) -> base::Status {
    hashes.push_back(entry.hash);
    return {};
  };
  CLOISTER_RETURN_IF_ERROR(WalkIndex(held_out.index(), collect));
  CLOISTER_ASSIGN_OR_RETURN(const Trained trained, Trained::Of(train, std::move(hashes), unit));
  const auto check = [&](std::int64_t i, const RecordIndex::Entry& entry) -> base::Status {
    const bool named = entry.unit != RecordIndex::kNoUnit;
    const char* const fault =
        trained.FaultOf(std::span(&entry.hash, 1), named ? &held_out.units()[entry.unit] : nullptr);
    return fault == nullptr ? base::Status() : Verdict(held_out.Where(i), fault);
  };
  return WalkIndex(held_out.index(), check);
}

base::Status CheckDisjoint(const RecordFile& train, std::span<const HeldOutRow> rows,
                           dp::PrivacyUnit unit) {
  std::vector<Sha256Digest> hashes;
  for (const HeldOutRow& row : rows) {
    hashes.insert(hashes.end(), row.hashes.begin(), row.hashes.end());
  }
  CLOISTER_ASSIGN_OR_RETURN(const Trained trained, Trained::Of(train, std::move(hashes), unit));
  for (const HeldOutRow& row : rows) {
    const Sha256Digest name = HashOfUnit(row.unit);
    CLOISTER_RETURN_IF_ERROR(
        Verdict(row.where, trained.FaultOf(row.hashes, row.unit.empty() ? nullptr : &name)));
  }
  return {};
}

base::Status CheckHasAnswer(std::span<const Example> held_out, const std::filesystem::path& path,
                            const char* max_tokens) {
  const bool any = std::any_of(held_out.begin(), held_out.end(),
                               [](const Example& one) { return one.answer_tokens() > 0; });
  if (any) return {};
  return base::Fail(base::Code::kFailedPrecondition,
                    path.string() + ": none of the " + std::to_string(held_out.size()) +
                        " held-out records has an answer within " + max_tokens +
                        ": raise it, or give records with an answer");
}

}  // namespace cloister::trainer
