#include "inference/engine/score.h"

#include <algorithm>
#include <iostream>

#include "base/progress.h"
#include "cli/inference/commands.h"
#include "cli/inference/model_flags.h"
#include "cli/inference/score_input.h"

namespace cloister::cli {
namespace po = boost::program_options;
namespace {

constexpr std::size_t kBest = 8;

base::Status Run(const po::variables_map& values) {
  CLOISTER_ASSIGN_OR_RETURN(inference::EngineOptions options, EngineOptionsOf(values));
  CLOISTER_ASSIGN_OR_RETURN(const auto files, OpenModel(values));
  CLOISTER_ASSIGN_OR_RETURN(const model::Architecture architecture, files->architecture());
  CLOISTER_ASSIGN_OR_RETURN(const auto sequences,
                            ReadSequences(values["input"].as<std::string>(), *files, architecture));
  std::size_t longest = 1;
  for (const auto& ids : sequences) longest = std::max(longest, ids.size());
  options.context = static_cast<std::int64_t>(longest);
  CLOISTER_ASSIGN_OR_RETURN(const auto engine, inference::Engine::Load(files, options));
  base::Progress progress("score", sequences.size(), "sequences");
  std::size_t done = 0;
  for (const auto& ids : sequences) {
    CLOISTER_ASSIGN_OR_RETURN(const inference::Score score,
                              inference::ScoreSequence(*engine, ids, kBest));
    nlohmann::ordered_json line;
    line["nll_sum"] = score.nll_sum;
    line["tokens"] = score.tokens;
    line["top_ids"] = score.top_ids;
    line["top_logits"] = score.top_logits;
    PrintResult(line, values["json"].as<bool>());
    progress.Update(++done);
  }
  progress.Finish();
  return {};
}

}  // namespace

Command ScoreCommand() {
  return {
      "score", "Log-likelihood of sequences under a model",
      [](std::span<const std::string> arguments) -> base::Status {
        Flags flags;
        flags.usage = "cloister score --model P --input F.jsonl [--json]";
        flags.about =
            "Reads a JSONL file of {\"ids\": [1, 2]} (used as given) or {\"text\": \"…\"} (with "
            "the\n"
            "model's own first token, special tokens read) and prints a line each, in order:\n"
            "nll_sum, the negative log-likelihood in nats of ids 2 to n given those before; "
            "tokens,\n"
            "n - 1; top_ids and top_logits, the best 8 raw logits after the last id. The whole "
            "file\n"
            "is checked first.\n\n"
            "  cloister score --model SmolLM2.gguf --input held-out.jsonl\n"
            "  cloister score --model SmolLM2.gguf --input held-out.jsonl --json > scores.jsonl";
        AddModelFlags(flags.options);
        flags.options.add_options()("input", po::value<std::string>()->required()->value_name("F"),
                                    "JSONL file");
        CLOISTER_ASSIGN_OR_RETURN(const auto values, Parse(flags, arguments));
        return values ? Run(*values) : base::Status();
      }};
}

}  // namespace cloister::cli
