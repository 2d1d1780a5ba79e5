#include <iostream>

#include "base/file.h"
#include "cli/model/commands.h"
#include "cli/model/conversation_file.h"
#include "model/chat_template.h"
#include "model/jinja/date_text.h"

namespace cloister::cli {
namespace po = boost::program_options;

namespace {

using base::Code;

constexpr std::size_t kMaxTemplate = std::size_t{1} << 20;

// What the template says of its input is the input's fault, not a flag's: exit 1.
base::Error Failure(base::Error error) {
  if (error.code == Code::kInvalidArgument) error.code = Code::kFailedPrecondition;
  return error;
}

base::Status Run(std::span<const std::string> arguments) {
  Flags flags;
  flags.usage = "cloister render --template F.jinja --input F.json [--now YYYY-MM-DD] [--json]";
  flags.about =
      "Renders a conversation with a chat template, as transformers does. The keys of the input,\n"
      "one JSON object, are the template's variables: messages, tools, add_generation_prompt,\n"
      "bos_token, eos_token and any other. What it does not name is undefined.\n\n"
      "  cloister render --template chat_template.jinja --input conversation.json\n\n"
      "with conversation.json\n\n"
      "  {\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"add_generation_prompt\": "
      "true}";
  flags.options.add_options()("template", po::value<std::string>()->required(),
                              "File with the Jinja template")(
      "input", po::value<std::string>()->required(), "File with the variables, a JSON object")(
      "now", po::value<std::string>(), "The date that strftime_now gives; today without it")(
      "json", "Print the text as JSON");
  CLOISTER_ASSIGN_OR_RETURN(const auto parsed, Parse(flags, arguments));
  if (!parsed) return {};
  const po::variables_map& values = *parsed;
  model::ChatTemplateOptions options;
  if (values.contains("now")) {
    auto date = model::jinja::ParseDate(values["now"].as<std::string>());
    if (!date) return base::Annotate(std::move(date), "--now");
    options.today = *date;
  }
  CLOISTER_ASSIGN_OR_RETURN(const std::string source,
                            base::ReadFile(values["template"].as<std::string>(), kMaxTemplate));
  CLOISTER_ASSIGN_OR_RETURN(const nlohmann::ordered_json input,
                            ReadConversation(values["input"].as<std::string>()));
  const auto chat_template = model::MakeChatTemplate(source, std::move(options));
  if (!chat_template) return tl::unexpected<base::Error>(chat_template.error());
  const base::Result<std::string> text = (*chat_template)->Render(input);
  if (!text) return tl::unexpected<base::Error>(Failure(text.error()));
  if (values.contains("json")) {
    PrintResult({{"text", *text}}, true);
  } else {
    std::cout << *text << "\n";
  }
  return {};
}

}  // namespace

Command RenderCommand() { return {"render", "Render a conversation with a chat template", Run}; }

}  // namespace cloister::cli
