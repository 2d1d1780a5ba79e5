#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "trainer/data/record_encoder.h"
#include "trainer/data/record_file.h"

namespace cloister::trainer {

// A file of records as a model reads them; records are encoded when they are asked for.
class RecordData {
 public:
  RecordData(RecordFile file, RecordEncoder encoder)
      : file_(std::move(file)), encoder_(std::move(encoder)) {}

  const RecordFile& file() const { return file_; }
  std::int64_t size() const { return file_.size(); }

  // The chosen records, in order. kDataLoss naming file and line for one that the chat template or
  // the truncation refuses.
  base::Result<std::vector<Example>> Load(std::span<const std::int64_t> records) const;
  // The first `rows` records, or all where rows is 0 or more than there are.
  base::Result<std::vector<Example>> LoadFirst(std::int64_t rows) const;
  // Whether every record can be encoded, Load's errors beforehand: with Truncation::kError, and
  // else nothing is looked at. Takes the time of tokenizing them all.
  base::Status Check(base::Timing timing) const;
  // Whether one of the first kLookedAt records has an answer token within the cut: else training
  // would move nothing, or by noise alone. kFailedPrecondition naming the file. Reads no further
  // than the first that has one.
  static constexpr std::int64_t kLookedAt = 10'000;
  base::Status CheckHasAnswer() const;

 private:
  base::Result<Example> Encode(std::int64_t record) const;

  RecordFile file_;
  RecordEncoder encoder_;
};

}  // namespace cloister::trainer
