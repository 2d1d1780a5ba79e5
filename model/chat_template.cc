#include "model/chat_template.h"

#include <utility>

#include "model/jinja/template.h"

namespace cloister::model {
namespace {

using nlohmann::ordered_json;

base::Error Located(base::Error error) {
  error.message = "the chat template, " + error.message;
  return error;
}

class JinjaChatTemplate final : public ChatTemplate {
 public:
  JinjaChatTemplate(jinja::Template parsed, ChatTemplateOptions options)
      : template_(std::move(parsed)), options_(std::move(options)) {}

  base::Result<std::string> Render(const ordered_json& input) const override {
    auto text = template_.Render(input, {&options_.variables, options_.today});
    if (text || text.error().code == base::Code::kInvalidArgument) return text;
    return tl::unexpected<base::Error>(Located(std::move(text).error()));
  }

 private:
  jinja::Template template_;
  ChatTemplateOptions options_;
};

}  // namespace

base::Result<std::shared_ptr<const ChatTemplate>> MakeChatTemplate(const std::string& text,
                                                                   ChatTemplateOptions options) {
  auto parsed = jinja::Template::Parse(text);
  if (!parsed) return tl::unexpected<base::Error>(Located(std::move(parsed).error()));
  return std::shared_ptr<const ChatTemplate>(
      std::make_shared<JinjaChatTemplate>(*std::move(parsed), std::move(options)));
}

ordered_json ModelVariables(const ordered_json& special_tokens) {
  ordered_json variables = {
      {"tools", nullptr}, {"documents", nullptr}, {"add_generation_prompt", false}};
  for (const auto& token : special_tokens.items()) variables[token.key()] = token.value();
  return variables;
}

}  // namespace cloister::model
