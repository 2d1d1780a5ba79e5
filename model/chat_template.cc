#include "model/chat_template.h"

#include <string_view>
#include <utility>

namespace cloister::model {
namespace {

using base::Code;
using nlohmann::ordered_json;

// The Jinja text around the default system message, line breaks written as themselves.
constexpr std::string_view kBeforeSystem =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\n";
constexpr std::string_view kAfterSystem =
    "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' "
    "}}{% endif %}";

// Jinja's notion of true.
bool Truthy(const ordered_json& input, const char* name) {
  const auto found = input.find(name);
  if (found == input.end() || found->is_null()) return false;
  if (found->is_boolean()) return found->get<bool>();
  if (found->is_number()) return found->get<double>() != 0;
  if (found->is_string()) return !found->get_ref<const std::string&>().empty();
  return !found->empty();
}

class ChatMl final : public ChatTemplate {
 public:
  explicit ChatMl(std::string system) : system_(std::move(system)) {}

  base::Result<std::string> Render(const ordered_json& input) const override {
    if (!input.is_object()) {
      return base::Fail(Code::kInvalidArgument, "a chat template's input must be an object");
    }
    std::string text;
    const auto messages = input.find("messages");
    if (messages != input.end() && !messages->is_null()) {
      if (!messages->is_array()) {
        return base::Fail(Code::kInvalidArgument, "messages must be a list of messages");
      }
      for (const ordered_json& message : *messages) {
        CLOISTER_RETURN_IF_ERROR(Append(message, text));
      }
    }
    if (Truthy(input, "add_generation_prompt")) text += "<|im_start|>assistant\n";
    return text;
  }

 private:
  base::Status Append(const ordered_json& message, std::string& text) const {
    if (!message.is_object()) {
      return base::Fail(Code::kInvalidArgument, "each of messages must be an object");
    }
    for (const char* name : {"role", "content"}) {
      const auto found = message.find(name);
      if (found == message.end() || !found->is_string()) {
        return base::Fail(Code::kInvalidArgument,
                          std::string("each of messages needs a ") + name + " that is a string");
      }
    }
    const auto& role = message["role"].get_ref<const std::string&>();
    if (text.empty() && role != "system") {
      text += "<|im_start|>system\n" + system_ + "<|im_end|>\n";
    }
    text += "<|im_start|>" + role + "\n" + message["content"].get_ref<const std::string&>() +
            "<|im_end|>\n";
    return {};
  }

  std::string system_;  // the system message of a conversation that brings none
};

// Jinja reads \n in a string literal as a line break; both spellings occur.
std::string WithLineBreaks(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && text[i + 1] == 'n') {
      result += '\n';
      ++i;
    } else {
      result += text[i];
    }
  }
  return result;
}

}  // namespace

base::Result<std::shared_ptr<const ChatTemplate>> MakeChatTemplate(const std::string& text) {
  const std::string plain = WithLineBreaks(text);
  const std::string_view view = plain;
  if (view.size() >= kBeforeSystem.size() + kAfterSystem.size() &&
      view.starts_with(kBeforeSystem) && view.ends_with(kAfterSystem)) {
    const std::string_view system =
        view.substr(kBeforeSystem.size(), view.size() - kBeforeSystem.size() - kAfterSystem.size());
    if (system.find_first_of("'\\{}") == std::string_view::npos) {
      return std::shared_ptr<const ChatTemplate>(std::make_shared<ChatMl>(std::string(system)));
    }
  }
  return base::Fail(Code::kUnimplemented,
                    "this model's chat template is not supported yet: ChatML with a default system "
                    "message (SmolLM2's) is; use a plain prompt");
}

}  // namespace cloister::model
