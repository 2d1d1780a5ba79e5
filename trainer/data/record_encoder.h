#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/result.h"
#include "model/model_files.h"
#include "trainer/data/chat_encoder.h"
#include "trainer/data/data_format.h"
#include "trainer/data/record.h"
#include "trainer/data/truncation.h"

namespace cloister::trainer {

// Turns records into examples of at most so many tokens: conversations as ChatEncoder does; of a
// text, behind the BOS that the model wants, every token counts, and so does the model's end of
// text behind it. Special tokens that are spelled out in a text are ordinary text. Immutable,
// thread-safe.
class RecordEncoder {
 public:
  struct Length {
    std::int64_t max_tokens = 0;
    Truncation truncation = Truncation::kRight;
  };
  // Reads the model's tokenizer, and its chat template where the records are conversations.
  static base::Result<RecordEncoder> Load(const model::ModelFiles& files, const DataLayout& layout,
                                          const Length& length);
  // `chat_template` may be null where the records are texts.
  RecordEncoder(std::shared_ptr<const model::Tokenizer> tokenizer,
                const std::shared_ptr<const model::ChatTemplate>& chat_template,
                const Length& length);

  const Length& length() const { return length_; }
  // Without the place: kDataLoss as ChatEncoder and Truncate().
  base::Result<Example> Encode(const Record& record) const;

 private:
  std::shared_ptr<const model::Tokenizer> tokenizer_;
  std::optional<ChatEncoder> chat_;
  Length length_;
};

}  // namespace cloister::trainer
