#include <charconv>
#include <filesystem>
#include <iostream>
#include <limits>

#include "base/file.h"
#include "cli/model/commands.h"
#include "model/model_files.h"
#include "model/tokenizer.h"
#include "model/tokenizer/tokenizer_json.h"

namespace cloister::cli {
namespace po = boost::program_options;

namespace {

using base::Code;

constexpr std::size_t kMaxFile = std::size_t{1} << 30;

base::Result<std::vector<model::TokenId>> ParseIds(const std::string& list) {
  std::vector<model::TokenId> ids;
  const char* next = list.data();
  const char* const end = list.data() + list.size();
  while (next != end) {
    if (*next == ' ') {
      ++next;
      continue;
    }
    model::TokenId id = 0;
    const auto [stop, error] = std::from_chars(next, end, id);
    if (error != std::errc() || (stop != end && *stop != ',' && *stop != ' ')) {
      return base::Fail(Code::kInvalidArgument,
                        "--decode " + list + " is no list of token ids: write it as 1,2,3");
    }
    ids.push_back(id);
    next = stop;
    while (next != end && *next == ' ') ++next;
    if (next == end) break;
    if (*next != ',' || ++next == end) {
      return base::Fail(Code::kInvalidArgument,
                        "--decode " + list + " is no list of token ids: write it as 1,2,3");
    }
  }
  return ids;
}

base::Status PrintDecoded(const model::Tokenizer& tokenizer, const std::string& list, bool json) {
  CLOISTER_ASSIGN_OR_RETURN(const auto ids, ParseIds(list));
  const base::Result<std::string> text = tokenizer.Decode(ids);
  if (!text) {
    // The ids are the flag's value.
    return base::Fail(Code::kInvalidArgument, "--decode: " + text.error().message);
  }
  if (json) {
    PrintResult({{"text", *text}}, true);
  } else {
    std::cout << *text << "\n";
  }
  return {};
}

void PrintIds(const std::vector<model::TokenId>& ids, bool json) {
  if (json) return PrintResult({{"ids", ids}}, true);
  for (std::size_t i = 0; i < ids.size(); ++i) std::cout << (i > 0 ? "," : "") << ids[i];
  std::cout << "\n";
}

// The library refuses an empty value after '='; apart from the flag it is fine.
std::vector<std::string> WithEmptyValuesApart(std::span<const std::string> arguments) {
  std::vector<std::string> words;
  for (const std::string& word : arguments) {
    const bool empty_value = word == "--text=" || word == "--decode=";
    words.push_back(empty_value ? word.substr(0, word.size() - 1) : word);
    if (empty_value) words.emplace_back();
  }
  return words;
}

base::Status Encode(const model::Tokenizer& tokenizer, const po::variables_map& values) {
  std::string text;
  if (values.contains("file")) {
    CLOISTER_ASSIGN_OR_RETURN(text, base::ReadFile(values["file"].as<std::string>(), kMaxFile));
  } else {
    text = values["text"].as<std::string>();
  }
  model::Tokenizer::EncodeOptions options;
  options.parse_special = values.contains("special");
  options.add_bos = values.contains("bos");
  if (options.add_bos && !tokenizer.bos()) {
    return base::Fail(Code::kFailedPrecondition,
                      "--bos: this model has no beginning-of-text token: leave the flag out");
  }
  PrintIds(tokenizer.Encode(text, options), values.contains("json"));
  return {};
}

// A folder that holds a tokenizer and no model will do, too.
base::Result<std::shared_ptr<const model::Tokenizer>> LoadTokenizer(
    const std::filesystem::path& path) {
  auto files = model::ModelFiles::Open(path);
  if (files) return (*files)->LoadTokenizer();
  std::error_code ignored;
  const bool bare = std::filesystem::is_directory(path, ignored) &&
                    files.error().code == Code::kNotFound &&
                    (std::filesystem::exists(path / "tokenizer.json", ignored) ||
                     std::filesystem::exists(path / "tokenizer.model", ignored));
  if (!bare) return base::Forward(std::move(files));
  CLOISTER_ASSIGN_OR_RETURN(model::TokenizerData data, model::TokenizerDataFromFolder(path));
  auto tokenizer = model::MakeTokenizer(std::move(data));
  if (!tokenizer) return base::Annotate(std::move(tokenizer), path.string());
  return tokenizer;
}

base::Status Run(std::span<const std::string> arguments) {
  Flags flags;
  flags.usage =
      "cloister tokenize --model P (--text T | --file F | --decode 1,2,3) [--special] [--bos] "
      "[--json]";
  flags.about =
      "Turns text into the model's token ids, or ids into text. Nothing is added and special "
      "tokens\n"
      "(<|im_end|>) are plain text unless the flags below say otherwise. A file is read byte for\n"
      "byte. A GGUF file with a vocabulary and no weights will do, and a folder with a tokenizer\n"
      "alone.\n\n"
      "  cloister tokenize --model SmolLM2.gguf --text 'The capital of France is'\n"
      "  cloister tokenize --model SmolLM2.gguf --decode 504,3575,282,4649,314";
  flags.options.add_options()("model", po::value<std::string>()->required(),
                              "Model folder or .gguf file")(
      "text", po::value<std::string>(), "Text to encode; --text=-… when it starts with '-'")(
      "file", po::value<std::string>(), "File whose bytes to encode")(
      "decode", po::value<std::string>(), "Token ids to decode, separated by commas")(
      "special", "Read special tokens that are written out in the text")(
      "bos", "Put the model's beginning-of-text token first")("json", "Print the result as JSON");
  CLOISTER_ASSIGN_OR_RETURN(const auto parsed, Parse(flags, WithEmptyValuesApart(arguments)));
  if (!parsed) return {};
  const po::variables_map& values = *parsed;
  if (values.count("text") + values.count("file") + values.count("decode") != 1) {
    return base::Fail(Code::kInvalidArgument,
                      "give exactly one of --text, --file and --decode: see --help");
  }
  if (values.contains("decode") && (values.contains("special") || values.contains("bos"))) {
    return base::Fail(Code::kInvalidArgument,
                      "--special and --bos go with --text or --file, not with --decode");
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto tokenizer, LoadTokenizer(values["model"].as<std::string>()));
  if (values.contains("decode")) {
    return PrintDecoded(*tokenizer, values["decode"].as<std::string>(), values.contains("json"));
  }
  return Encode(*tokenizer, values);
}

}  // namespace

Command TokenizeCommand() { return {"tokenize", "Turn text into token ids and back", Run}; }

}  // namespace cloister::cli
