#include "trainer/data/chat_encoder.h"

#include <algorithm>
#include <string>
#include <utility>

namespace cloister::trainer {

ChatEncoder::ChatEncoder(std::shared_ptr<const model::Tokenizer> tokenizer,
                         std::shared_ptr<const model::ChatTemplate> chat_template,
                         std::int64_t max_tokens)
    : tokenizer_(std::move(tokenizer)),
      template_(std::move(chat_template)),
      max_tokens_(max_tokens),
      end_of_turn_(tokenizer_->end_of_generation()) {}

base::Result<std::string> ChatEncoder::Render(const nlohmann::ordered_json& messages,
                                              std::size_t count, bool add_generation_prompt) const {
  nlohmann::ordered_json input;
  input["messages"] = nlohmann::ordered_json::array_t(messages.begin(),
                                                      messages.begin() + static_cast<long>(count));
  input["add_generation_prompt"] = add_generation_prompt;
  return template_->Render(input);
}

void ChatEncoder::Append(Example& example, std::string_view text, bool answer) const {
  const std::vector<model::TokenId> ids =
      tokenizer_->Encode(text, {.parse_special = true, .add_bos = false});
  // What the template writes after the end of a turn is not the model's to say.
  auto last = ids.end();
  if (answer) {
    last = std::find_first_of(ids.begin(), ids.end(), end_of_turn_.begin(), end_of_turn_.end());
    if (last != ids.end()) ++last;
  }
  for (auto id = ids.begin(); id != ids.end(); ++id) {
    if (example.tokens() == max_tokens_) return;
    example.ids.push_back(*id);
    example.answer.push_back(answer && id < last && example.tokens() > 1 ? 1 : 0);
  }
}

base::Result<Example> ChatEncoder::Encode(const nlohmann::ordered_json& messages) const {
  Example example;
  std::string done;  // the text that `example` holds so far
  const auto extends = [&done](const std::string& text) {
    return text.compare(0, done.size(), done) == 0;
  };
  for (std::size_t turn = 0; turn < messages.size(); ++turn) {
    if (messages[turn]["role"] != "assistant") continue;
    CLOISTER_ASSIGN_OR_RETURN(std::string prompt, Render(messages, turn, true));
    if (!extends(prompt))
      return base::Fail(base::Code::kDataLoss,
                        "the chat template rewrites earlier turns: give one answer a record");
    Append(example, std::string_view(prompt).substr(done.size()), false);
    done = std::move(prompt);
    CLOISTER_ASSIGN_OR_RETURN(std::string answered, Render(messages, turn + 1, false));
    if (!extends(answered))
      return base::Fail(base::Code::kDataLoss,
                        "the chat template writes an answer otherwise than it asks for one: use a "
                        "model with another template");
    Append(example, std::string_view(answered).substr(done.size()), true);
    done = std::move(answered);
  }
  return example;
}

}  // namespace cloister::trainer
