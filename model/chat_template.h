#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"

namespace cloister::model {

// Renders a conversation to the text that a model was trained on. Immutable, thread-safe.
class ChatTemplate {
 public:
  virtual ~ChatTemplate() = default;

  // `input`'s keys are the template's variables: messages, add_generation_prompt, tools,
  // bos_token, eos_token, any other. kInvalidArgument with the template's own message when it
  // refuses the input.
  virtual base::Result<std::string> Render(const nlohmann::ordered_json& input) const = 0;
};

// The template whose Jinja text is `text`. ChatML with a default system message (SmolLM2's, Qwen's
// first) is recognised by its text; any other is kUnimplemented.
base::Result<std::shared_ptr<const ChatTemplate>> MakeChatTemplate(const std::string& text);

}  // namespace cloister::model
