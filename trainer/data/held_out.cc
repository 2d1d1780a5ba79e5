#include "trainer/data/held_out.h"

#include <algorithm>
#include <set>
#include <string>

namespace cloister::trainer {

base::Status CheckDisjoint(const ChatFile& train, std::span<const HeldOutRow> rows,
                           dp::PrivacyUnit unit) {
  const std::set<std::string> known(train.record_hashes().begin(), train.record_hashes().end());
  std::set<std::string> users;
  if (unit == dp::PrivacyUnit::kUser) {
    for (std::int64_t i = 0; i < train.size(); ++i) users.insert(train.unit_name(i));
  }
  for (const HeldOutRow& row : rows) {
    if (users.contains(row.unit)) {
      return base::Fail(base::Code::kDataLoss,
                        row.where +
                            ": its 'unit' also stands in the training file: held-out users are "
                            "not covered by ε, take it out of one of them");
    }
    if (std::any_of(row.hashes.begin(), row.hashes.end(),
                    [&](const std::string& hash) { return known.contains(hash); })) {
      return base::Fail(base::Code::kDataLoss,
                        row.where +
                            ": this record also stands in the training file: held-out "
                            "records are not covered by ε, take it out of one of them");
    }
  }
  return {};
}

base::Status CheckDisjoint(const ChatFile& train, const ChatFile& held_out, dp::PrivacyUnit unit) {
  std::vector<HeldOutRow> rows;
  for (std::int64_t i = 0; i < held_out.size(); ++i) {
    rows.push_back({{held_out.record_hashes()[static_cast<std::size_t>(i)]},
                    held_out.unit_name(i),
                    held_out.Where(i)});
  }
  return CheckDisjoint(train, rows, unit);
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
