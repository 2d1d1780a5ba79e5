#include "inference/engine/generate.h"

#include <unistd.h>

#include <cmath>
#include <iostream>
#include <memory>

#include "cli/inference/commands.h"
#include "cli/inference/model_flags.h"
#include "model/chat_template.h"

namespace cloister::cli {
namespace po = boost::program_options;
namespace {

using TokenizerPointer = std::shared_ptr<const model::Tokenizer>;

struct Request {
  std::vector<model::TokenId> prompt;
  TokenizerPointer tokenizer;  // null where ids alone were given and the model has none
};

// One user turn through the model's template; the template writes the special tokens itself.
base::Result<std::vector<model::TokenId>> EncodeChat(const model::ModelFiles& files,
                                                     const model::Tokenizer& tokenizer,
                                                     const std::string& text) {
  CLOISTER_ASSIGN_OR_RETURN(const auto chat_template, files.LoadChatTemplate());
  nlohmann::ordered_json input;
  input["messages"] = nlohmann::ordered_json::array();
  input["messages"].push_back({{"role", "user"}, {"content", text}});
  input["add_generation_prompt"] = true;
  CLOISTER_ASSIGN_OR_RETURN(const std::string rendered, chat_template->Render(input));
  return tokenizer.Encode(rendered, {.parse_special = true, .add_bos = false});
}

base::Status CheckIds(std::span<const model::TokenId> ids, std::int64_t vocab_size) {
  for (const model::TokenId id : ids) {
    if (id >= vocab_size) {
      return base::Fail(base::Code::kInvalidArgument,
                        "--prompt-ids has the id " + std::to_string(id) +
                            " outside the vocabulary of " + std::to_string(vocab_size) +
                            ": use ids of this model's tokenizer");
    }
  }
  return {};
}

base::Result<Request> ReadRequest(const po::variables_map& values, const model::ModelFiles& files,
                                  std::int64_t vocab_size) {
  const auto given = values.count("prompt") + values.count("prompt-ids") + values.count("chat");
  if (given != 1) {
    return base::Fail(base::Code::kInvalidArgument,
                      "give exactly one of --prompt, --prompt-ids and --chat");
  }
  Request request;
  auto tokenizer = files.LoadTokenizer();
  if (values.contains("prompt-ids")) {
    const bool absent = !tokenizer && tokenizer.error().code == base::Code::kNotFound;
    if (!tokenizer && !absent) return base::Forward(std::move(tokenizer));
    if (tokenizer) request.tokenizer = *tokenizer;
    CLOISTER_ASSIGN_OR_RETURN(request.prompt,
                              ParseIds(values["prompt-ids"].as<std::string>(), "--prompt-ids"));
    CLOISTER_RETURN_IF_ERROR(CheckIds(request.prompt, vocab_size));
  } else {
    if (!tokenizer) return base::Forward(std::move(tokenizer));
    request.tokenizer = *tokenizer;
    if (values.contains("chat")) {
      CLOISTER_ASSIGN_OR_RETURN(request.prompt,
                                EncodeChat(files, **tokenizer, values["chat"].as<std::string>()));
    } else {
      request.prompt = EncodeForModel(**tokenizer, values["prompt"].as<std::string>(), false);
    }
  }
  if (request.prompt.empty()) {
    return base::Fail(base::Code::kInvalidArgument,
                      "the prompt holds no tokens: give at least one to continue from");
  }
  return request;
}

base::Result<inference::GenerateOptions> ReadOptions(const po::variables_map& values) {
  inference::GenerateOptions options;
  options.max_new_tokens = values["max-new-tokens"].as<std::int64_t>();
  options.temperature = values["temperature"].as<double>();
  // Read with its sign: an unsigned flag would take -1 for 2^64 - 1.
  const auto seed = values["seed"].as<std::int64_t>();
  CLOISTER_RETURN_IF_ERROR(CheckAtLeast("--seed", seed, 0));
  options.seed = static_cast<std::uint64_t>(seed);
  CLOISTER_RETURN_IF_ERROR(CheckAtLeast("--max-new-tokens", options.max_new_tokens, 0));
  if (!std::isfinite(options.temperature) || options.temperature < 0) {
    return base::Fail(base::Code::kInvalidArgument,
                      "--temperature is " + std::to_string(options.temperature) +
                          ": give 0 for the most likely token, or a positive number");
  }
  return options;
}

// Room for the prompt and every new token but the last, which is not read again.
base::Result<std::int64_t> Context(const model::Architecture& architecture, std::size_t prompt,
                                   std::int64_t max_new_tokens) {
  const std::int64_t positions = architecture.max_context();
  const auto tokens = static_cast<std::int64_t>(prompt);
  if (tokens > positions || max_new_tokens > positions - tokens + 1) {
    return base::Fail(base::Code::kInvalidArgument,
                      "the prompt's " + std::to_string(tokens) + " tokens and --max-new-tokens " +
                          std::to_string(max_new_tokens) + " do not fit the model's " +
                          std::to_string(positions) + " positions: make one of them smaller");
  }
  return tokens + std::max<std::int64_t>(max_new_tokens - 1, 0);
}

// Writes text as it comes, or ids where the model has no tokenizer.
class TextStream {
 public:
  explicit TextStream(TokenizerPointer tokenizer) : tokenizer_(std::move(tokenizer)) {
    if (tokenizer_ != nullptr) decoder_ = tokenizer_->NewStreamingDecoder(false);
  }

  base::Status Add(model::TokenId id) {
    if (decoder_ == nullptr) {
      std::cout << (begun_ ? "," : "") << id << std::flush;
      begun_ = true;
      return {};
    }
    CLOISTER_ASSIGN_OR_RETURN(const std::string text, decoder_->Add(id));
    if (!text.empty()) std::cout << text << std::flush;
    return {};
  }

  void Finish() {
    if (decoder_ != nullptr) std::cout << decoder_->Finish();
    std::cout << "\n";
  }

 private:
  TokenizerPointer tokenizer_;
  std::unique_ptr<model::StreamingDecoder> decoder_;
  bool begun_ = false;
};

base::Status Run(const po::variables_map& values) {
  CLOISTER_ASSIGN_OR_RETURN(inference::GenerateOptions options, ReadOptions(values));
  CLOISTER_ASSIGN_OR_RETURN(inference::EngineOptions engine_options, EngineOptionsOf(values));
  CLOISTER_ASSIGN_OR_RETURN(const auto files, OpenModel(values));
  CLOISTER_ASSIGN_OR_RETURN(const model::Architecture architecture, files->architecture());
  CLOISTER_ASSIGN_OR_RETURN(const Request request,
                            ReadRequest(values, *files, architecture.vocab_size));
  CLOISTER_ASSIGN_OR_RETURN(engine_options.context,
                            Context(architecture, request.prompt.size(), options.max_new_tokens));
  if (!values["ignore-eos"].as<bool>()) {
    options.end_tokens = EndTokens(architecture, request.tokenizer.get());
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto engine, inference::Engine::Load(files, engine_options));
  const bool json = values["json"].as<bool>();
  TextStream stream(request.tokenizer);
  const auto on_token = [&](model::TokenId id) { return json ? base::Status() : stream.Add(id); };
  CLOISTER_ASSIGN_OR_RETURN(const inference::Generation generation,
                            inference::Generate(*engine, request.prompt, options, on_token));
  if (!json) {
    stream.Finish();
    return {};
  }
  nlohmann::ordered_json result;
  result["ids"] = generation.ids;
  result["text"] = nullptr;
  if (request.tokenizer != nullptr) {
    CLOISTER_ASSIGN_OR_RETURN(result["text"], request.tokenizer->Decode(generation.ids));
  }
  result["finish_reason"] = generation.stopped ? "stop" : "length";
  PrintResult(result, true);
  return {};
}

}  // namespace

Command GenerateCommand() {
  return {
      "generate", "Continue a prompt with a model",
      [](std::span<const std::string> arguments) -> base::Status {
        Flags flags;
        flags.usage =
            "cloister generate --model P (--prompt T | --prompt-ids 1,2 | --chat T) "
            "--max-new-tokens N [--temperature 0] [--ignore-eos] [--json]";
        flags.about =
            "Continues a prompt and prints the new text as it comes. At temperature 0 the most\n"
            "likely token is taken, the lower id among equals. It ends at the model's end tokens\n"
            "(the configuration's and the chat template's turn end), which are not printed, or\n"
            "at --max-new-tokens.\n\n"
            "With --json: {\"ids\", \"text\", \"finish_reason\"}, where finish_reason is stop or\n"
            "length, and text is null when the model has no tokenizer.\n\n"
            "  cloister generate --model SmolLM2.gguf --chat 'Why is the sky blue?'\n"
            "  cloister generate --model SmolLM2.gguf --prompt 'The sky' --max-new-tokens 16 "
            "--json";
        AddModelFlags(flags.options);
        auto add = flags.options.add_options();
        add("prompt", po::value<std::string>()->value_name("T"),
            "Text; the model's own first token is added, special tokens are plain text");
        add("prompt-ids", po::value<std::string>()->value_name("IDS"),
            "Token ids as 1,2,3; nothing is added");
        add("chat", po::value<std::string>()->value_name("T"),
            "One user turn through the model's chat template");
        add("max-new-tokens", po::value<std::int64_t>()->default_value(128)->value_name("N"),
            "The most tokens to make");
        add("temperature", po::value<double>()->default_value(0)->value_name("T"),
            "0 is greedy; above, tokens are drawn from softmax(logits / T)");
        add("seed", po::value<std::int64_t>()->default_value(0)->value_name("N"),
            "Seed of the draws, at least 0");
        add("ignore-eos", po::bool_switch(), "Go on after an end token");
        CLOISTER_ASSIGN_OR_RETURN(const auto values, Parse(flags, arguments));
        return values ? Run(*values) : base::Status();
      }};
}

}  // namespace cloister::cli
