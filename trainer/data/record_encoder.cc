#include "trainer/data/record_encoder.h"

#include <string>
#include <utility>
#include <vector>

#include "base/check.h"

namespace cloister::trainer {
namespace {

Example EncodeText(const model::Tokenizer& tokenizer, const std::string& text) {
  Example example;
  example.ids = tokenizer.Encode(text, {.parse_special = false, .add_bos = tokenizer.adds_bos()});
  const std::vector<model::TokenId> ends = tokenizer.end_of_generation();
  if (!ends.empty()) example.ids.push_back(ends.front());
  example.answer.assign(example.ids.size(), 1);
  if (!example.answer.empty()) example.answer[0] = 0;
  return example;
}

}  // namespace

base::Result<RecordEncoder> RecordEncoder::Load(const model::ModelFiles& files,
                                                const DataLayout& layout, const Length& length) {
  CLOISTER_ASSIGN_OR_RETURN(auto tokenizer, files.LoadTokenizer());
  std::shared_ptr<const model::ChatTemplate> chat_template;
  if (!layout.texts()) {
    CLOISTER_ASSIGN_OR_RETURN(chat_template, files.LoadChatTemplate());
  }
  return RecordEncoder(std::move(tokenizer), chat_template, length);
}

RecordEncoder::RecordEncoder(std::shared_ptr<const model::Tokenizer> tokenizer,
                             const std::shared_ptr<const model::ChatTemplate>& chat_template,
                             const Length& length)
    : tokenizer_(std::move(tokenizer)), length_(length) {
  if (chat_template) chat_.emplace(tokenizer_, chat_template);
}

base::Result<Example> RecordEncoder::Encode(const Record& record) const {
  Example example;
  if (record.messages.is_null()) {
    example = EncodeText(*tokenizer_, record.text);
  } else {
    CLOISTER_CHECK(chat_.has_value());
    CLOISTER_ASSIGN_OR_RETURN(example, chat_->Encode(record.messages));
  }
  CLOISTER_RETURN_IF_ERROR(Truncate(example, length_.max_tokens, length_.truncation));
  return example;
}

}  // namespace cloister::trainer
