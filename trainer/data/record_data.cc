#include "trainer/data/record_data.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "trainer/data/pass_progress.h"

namespace cloister::trainer {

base::Result<Example> RecordData::Encode(std::int64_t record) const {
  CLOISTER_ASSIGN_OR_RETURN(const Record read, file_.Read(record));
  auto example = encoder_.Encode(read);
  if (!example) return base::Annotate(std::move(example), file_.Where(record));
  return example;
}

base::Result<std::vector<Example>> RecordData::Load(std::span<const std::int64_t> records) const {
  std::vector<Example> examples;
  examples.reserve(records.size());
  for (const std::int64_t record : records) {
    CLOISTER_ASSIGN_OR_RETURN(examples.emplace_back(), Encode(record));
  }
  return examples;
}

base::Result<std::vector<Example>> RecordData::LoadFirst(std::int64_t rows) const {
  std::vector<std::int64_t> records(
      static_cast<std::size_t>(rows == 0 ? size() : std::min(rows, size())));
  std::iota(records.begin(), records.end(), std::int64_t{0});
  return Load(records);
}

base::Status RecordData::CheckHasAnswer() const {
  const std::int64_t most = std::min(size(), kLookedAt);
  for (std::int64_t record = 0; record < most; ++record) {
    CLOISTER_ASSIGN_OR_RETURN(const Example example, Encode(record));
    if (example.answer_tokens() > 0) return {};
  }
  return base::Fail(base::Code::kFailedPrecondition,
                    file_.path().string() + ": no record has an answer within data.max_tokens" +
                        (most < size() ? " among the first " + std::to_string(most) : "") +
                        ": raise it, or give records with an answer");
}

base::Status RecordData::Check(base::Timing timing) const {
  if (encoder_.length().truncation != Truncation::kError) return {};
  constexpr std::uint64_t kShownFrom = 100'000;
  PassProgress progress("checking lengths", static_cast<std::uint64_t>(size()), kShownFrom,
                        "records", timing);
  for (std::int64_t record = 0; record < size(); ++record) {
    CLOISTER_RETURN_IF_ERROR(Encode(record));
    progress.Update(static_cast<std::uint64_t>(record + 1));
  }
  progress.Finish();
  return {};
}

}  // namespace cloister::trainer
