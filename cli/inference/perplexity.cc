#include <algorithm>

#include "base/file.h"
#include "base/progress.h"
#include "cli/inference/commands.h"
#include "cli/inference/model_flags.h"
#include "inference/engine/score.h"

namespace cloister::cli {
namespace po = boost::program_options;
namespace {

constexpr std::size_t kMaxText = std::size_t{1} << 30;

base::Result<std::vector<model::TokenId>> ReadTokens(const std::string& path,
                                                     const model::Tokenizer& tokenizer,
                                                     std::int64_t context) {
  CLOISTER_ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path, kMaxText));
  std::vector<model::TokenId> ids = EncodeForModel(tokenizer, text, false);
  if (static_cast<std::int64_t>(ids.size()) < context) {
    return base::Fail(base::Code::kDataLoss, path + " holds " + std::to_string(ids.size()) +
                                                 " tokens, less than one chunk of " +
                                                 std::to_string(context) +
                                                 ": give a longer text or a smaller --context");
  }
  return ids;
}

base::Result<std::int64_t> Chunks(const po::variables_map& values, std::size_t tokens,
                                  std::int64_t context) {
  const std::int64_t all = static_cast<std::int64_t>(tokens) / context;
  if (!values.contains("chunks")) return all;
  const auto wanted = values["chunks"].as<std::int64_t>();
  CLOISTER_RETURN_IF_ERROR(CheckAtLeast("--chunks", wanted, 1));
  return std::min(all, wanted);
}

base::Status Run(const po::variables_map& values) {
  const auto context = values["context"].as<std::int64_t>();
  CLOISTER_RETURN_IF_ERROR(CheckAtLeast("--context", context, 4));
  CLOISTER_ASSIGN_OR_RETURN(inference::EngineOptions options, EngineOptionsOf(values));
  options.context = context;
  CLOISTER_ASSIGN_OR_RETURN(const auto files, OpenModel(values));
  CLOISTER_ASSIGN_OR_RETURN(const auto tokenizer, files->LoadTokenizer());
  CLOISTER_ASSIGN_OR_RETURN(const auto engine, inference::Engine::Load(files, options));
  CLOISTER_ASSIGN_OR_RETURN(std::vector<model::TokenId> ids,
                            ReadTokens(values["file"].as<std::string>(), *tokenizer, context));
  CLOISTER_ASSIGN_OR_RETURN(const std::int64_t chunks, Chunks(values, ids.size(), context));
  base::Progress progress("perplexity", static_cast<std::uint64_t>(chunks), "chunks");
  inference::Perplexity perplexity;
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    const auto part = std::span(ids).subspan(static_cast<std::size_t>(chunk * context),
                                             static_cast<std::size_t>(context));
    if (tokenizer->adds_bos() && tokenizer->bos()) part[0] = *tokenizer->bos();
    CLOISTER_RETURN_IF_ERROR(inference::AddChunk(*engine, part, perplexity));
    progress.Update(static_cast<std::uint64_t>(chunk) + 1,
                    "perplexity " + std::to_string(perplexity.value()));
  }
  progress.Finish();
  PrintResult({{"perplexity", perplexity.value()}, {"tokens", perplexity.tokens}},
              values["json"].as<bool>());
  return {};
}

}  // namespace

Command PerplexityCommand() {
  return {
      "perplexity", "Perplexity of a text under a model",
      [](std::span<const std::string> arguments) -> base::Status {
        Flags flags;
        flags.usage = "cloister perplexity --model P --file F --context N [--chunks K] [--json]";
        flags.about =
            "As llama-perplexity: the file is tokenized once and cut into chunks of --context N\n"
            "tokens, what is left at the end is dropped. The first half of a chunk is context\n"
            "alone; of the second half every token but the first is scored, N/2 - 1 tokens a "
            "chunk\n"
            "where N is even. Where the model starts a text with a token of its own, that token\n"
            "takes each chunk's first place.\n\n"
            "  cloister perplexity --model SmolLM2.gguf --file wiki.txt --context 512\n"
            "  cloister perplexity --model SmolLM2.gguf --file wiki.txt --context 512 --chunks 8 "
            "--json";
        AddModelFlags(flags.options);
        auto add = flags.options.add_options();
        add("file", po::value<std::string>()->required()->value_name("F"),
            "Text file, read byte for byte; special tokens are plain text");
        add("context", po::value<std::int64_t>()->required()->value_name("N"), "Tokens a chunk");
        add("chunks", po::value<std::int64_t>()->value_name("K"), "The most chunks to score");
        CLOISTER_ASSIGN_OR_RETURN(const auto values, Parse(flags, arguments));
        return values ? Run(*values) : base::Status();
      }};
}

}  // namespace cloister::cli
