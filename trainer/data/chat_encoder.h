#pragma once

#include <memory>
#include <nlohmann/json.hpp>

#include "base/result.h"
#include "model/chat_template.h"
#include "model/tokenizer.h"
#include "trainer/data/example.h"

namespace cloister::trainer {

// Turns a conversation into ids and marks its answers: for each assistant turn, the text that the
// template adds after the generation prompt, up to and with the token that ends the turn. Each
// piece is tokenized on its own, as it is when the model answers. Immutable, thread-safe.
class ChatEncoder {
 public:
  // Examples are cut after `max_tokens` tokens.
  ChatEncoder(std::shared_ptr<const model::Tokenizer> tokenizer,
              std::shared_ptr<const model::ChatTemplate> chat_template, std::int64_t max_tokens);

  // `messages`: [{"role", "content"}, …]. kInvalidArgument or kDataLoss with the template's
  // message.
  base::Result<Example> Encode(const nlohmann::ordered_json& messages) const;

 private:
  base::Result<std::string> Render(const nlohmann::ordered_json& messages, std::size_t count,
                                   bool add_generation_prompt) const;
  void Append(Example& example, std::string_view text, bool answer) const;

  std::shared_ptr<const model::Tokenizer> tokenizer_;
  std::shared_ptr<const model::ChatTemplate> template_;
  std::int64_t max_tokens_;
  std::vector<model::TokenId> end_of_turn_;
};

}  // namespace cloister::trainer
