#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/chat_template.h"
#include "model/tokenizer.h"
#include "trainer/data/example.h"

namespace cloister::trainer {

// Turns a conversation into ids and marks its answers: for each assistant turn, the text that the
// template adds after the generation prompt, up to and with the token that ends the turn. Each
// piece is tokenized on its own, as it is when the model answers. Special tokens are the template's
// alone: one that is spelled out in a message is ordinary text, so that no record can end or forge
// a turn. Immutable, thread-safe.
class ChatEncoder {
 public:
  ChatEncoder(std::shared_ptr<const model::Tokenizer> tokenizer,
              std::shared_ptr<const model::ChatTemplate> chat_template);

  // `messages`: [{"role", "content"}, …]. kInvalidArgument or kDataLoss with the template's
  // message; kUnimplemented for a template that changes what a message says, other than by taking
  // whitespace from its ends.
  base::Result<Example> Encode(const nlohmann::ordered_json& messages) const;

 private:
  // A conversation as text, and where the messages' own text lies in it, in order.
  struct Rendered {
    std::string text;
    std::vector<std::pair<std::size_t, std::size_t>> contents;  // offset, size
  };
  base::Result<Rendered> Render(const nlohmann::ordered_json& messages, std::size_t count,
                                bool add_generation_prompt) const;
  // The ids of the text from `from` on.
  std::vector<model::TokenId> Tokenize(const Rendered& rendered, std::size_t from) const;
  void Append(Example& example, std::span<const model::TokenId> ids, bool answer) const;

  std::shared_ptr<const model::Tokenizer> tokenizer_;
  std::shared_ptr<const model::ChatTemplate> template_;
  std::vector<model::TokenId> end_of_turn_;
};

}  // namespace cloister::trainer
