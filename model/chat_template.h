#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/result.h"
#include "model/jinja/runtime.h"

namespace cloister::model {

// Renders a conversation to the text that a model was trained on. Immutable, thread-safe.
class ChatTemplate {
 public:
  virtual ~ChatTemplate() = default;

  // `input`'s keys are the template's variables: messages, add_generation_prompt, tools,
  // bos_token, eos_token, any other. kInvalidArgument with the template's own message when it
  // refuses the input; kFailedPrecondition or kOutOfRange naming the line where it cannot be
  // rendered or never ends.
  virtual base::Result<std::string> Render(const nlohmann::ordered_json& input) const = 0;
};

struct ChatTemplateOptions {
  // What variables are that an input does not name; the others are undefined. An object or null.
  nlohmann::ordered_json variables;
  // What strftime_now gives, the clock's date where it is empty.
  std::optional<jinja::Date> today;
};

// The template whose Jinja text is `text`. kDataLoss naming the line where it is malformed,
// kUnimplemented for a statement that is not supported.
base::Result<std::shared_ptr<const ChatTemplate>> MakeChatTemplate(
    const std::string& text, ChatTemplateOptions options = {});

// What transformers gives a model's template besides the conversation: the texts of the model's
// special tokens (an object: "bos_token", "eos_token", …), no tools and no documents, and no
// generation prompt unless it is asked for.
nlohmann::ordered_json ModelVariables(const nlohmann::ordered_json& special_tokens);

}  // namespace cloister::model
