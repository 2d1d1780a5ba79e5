#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "trainer/data/chat_encoder.h"
#include "trainer/data/chat_file.h"

namespace cloister::trainer {

// A file of conversations as a model reads them; records are encoded when they are asked for.
class ChatData {
 public:
  ChatData(ChatFile file, ChatEncoder encoder)
      : file_(std::move(file)), encoder_(std::move(encoder)) {}

  const ChatFile& file() const { return file_; }
  std::int64_t size() const { return file_.size(); }

  // The chosen records, in order. kDataLoss naming file and line for one that the template refuses.
  base::Result<std::vector<Example>> Load(std::span<const std::int64_t> records) const;
  // The first `rows` records, or all where rows is 0 or more than there are.
  base::Result<std::vector<Example>> LoadFirst(std::int64_t rows) const;

 private:
  ChatFile file_;
  ChatEncoder encoder_;
};

}  // namespace cloister::trainer
