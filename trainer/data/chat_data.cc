#include "trainer/data/chat_data.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace cloister::trainer {

base::Result<std::vector<Example>> ChatData::Load(std::span<const std::int64_t> records) const {
  std::vector<Example> examples;
  examples.reserve(records.size());
  for (const std::int64_t record : records) {
    CLOISTER_ASSIGN_OR_RETURN(const nlohmann::ordered_json messages, file_.Messages(record));
    auto example = encoder_.Encode(messages);
    if (!example) {
      return base::Fail(base::Code::kDataLoss,
                        file_.Where(record) + ": field 'messages': " + example.error().message);
    }
    examples.push_back(std::move(*example));
  }
  return examples;
}

base::Result<std::vector<Example>> ChatData::LoadFirst(std::int64_t rows) const {
  std::vector<std::int64_t> records(
      static_cast<std::size_t>(rows == 0 ? size() : std::min(rows, size())));
  std::iota(records.begin(), records.end(), std::int64_t{0});
  return Load(records);
}

}  // namespace cloister::trainer
