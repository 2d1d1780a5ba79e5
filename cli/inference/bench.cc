#include <sys/resource.h>

#include <algorithm>
#include <chrono>

#include "cli/inference/commands.h"
#include "cli/inference/model_flags.h"

namespace cloister::cli {
namespace po = boost::program_options;
namespace {

using Clock = std::chrono::steady_clock;

// Token ids that walk through the vocabulary: the same on every machine, and no id is special to
// the speed.
std::vector<model::TokenId> BenchTokens(std::int64_t count, std::int64_t vocab_size) {
  std::vector<model::TokenId> ids;
  for (std::int64_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<model::TokenId>((i * 7919 + 1) % vocab_size));
  }
  return ids;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// The median over `repeats` of tokens a second of `run`, after one run that is not counted.
base::Result<double> Rate(inference::Engine& engine, std::int64_t tokens, std::int64_t repeats,
                          const std::function<base::Status()>& run) {
  std::vector<double> rates;
  for (std::int64_t i = 0; i <= repeats; ++i) {
    engine.Reset();
    const auto start = Clock::now();
    CLOISTER_RETURN_IF_ERROR(run());
    const std::chrono::duration<double> seconds = Clock::now() - start;
    if (i > 0) rates.push_back(static_cast<double>(tokens) / seconds.count());
  }
  return Median(std::move(rates));
}

std::int64_t PeakResidentBytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * 1024;
}

base::Status Run(const po::variables_map& values) {
  const auto prompt = values["prompt-tokens"].as<std::int64_t>();
  const auto generate = values["generate-tokens"].as<std::int64_t>();
  const auto repeats = values["repeats"].as<std::int64_t>();
  CLOISTER_RETURN_IF_ERROR(CheckAtLeast("--prompt-tokens", prompt, 1));
  CLOISTER_RETURN_IF_ERROR(CheckAtLeast("--generate-tokens", generate, 1));
  CLOISTER_RETURN_IF_ERROR(CheckAtLeast("--repeats", repeats, 1));
  CLOISTER_ASSIGN_OR_RETURN(inference::EngineOptions options, EngineOptionsOf(values));
  options.context = std::max(prompt, generate);
  const auto start = Clock::now();
  CLOISTER_ASSIGN_OR_RETURN(const auto files, OpenModel(values));
  CLOISTER_ASSIGN_OR_RETURN(const auto engine, inference::Engine::Load(files, options));
  // Ids alone need no tokenizer, and a model without one can be measured.
  const auto tokenizer = files->LoadTokenizer();
  const std::chrono::duration<double> load = Clock::now() - start;
  const std::vector<model::TokenId> ids =
      BenchTokens(options.context, engine->architecture().vocab_size);
  const auto prefill = [&]() -> base::Status {
    CLOISTER_RETURN_IF_ERROR(
        engine->Prefill(std::span(ids).first(static_cast<std::size_t>(prompt))));
    return {};
  };
  const auto decode = [&]() -> base::Status {
    for (std::int64_t i = 0; i < generate; ++i) {
      CLOISTER_RETURN_IF_ERROR(engine->Decode(ids[static_cast<std::size_t>(i)]));
    }
    return {};
  };
  nlohmann::ordered_json result;
  result["load_seconds"] = load.count();
  CLOISTER_ASSIGN_OR_RETURN(result["prefill_tokens_per_second"],
                            Rate(*engine, prompt, repeats, prefill));
  CLOISTER_ASSIGN_OR_RETURN(result["decode_tokens_per_second"],
                            Rate(*engine, generate, repeats, decode));
  result["peak_rss_bytes"] = PeakResidentBytes();
  PrintResult(result, values["json"].as<bool>());
  return {};
}

}  // namespace

Command BenchCommand() {
  return {
      "bench", "Speed of a model on this machine",
      [](std::span<const std::string> arguments) -> base::Status {
        Flags flags;
        flags.usage =
            "cloister bench --model P --prompt-tokens 512 --generate-tokens 64 --threads N "
            "[--kernels scalar|avx2] [--json]";
        flags.about =
            "Times reading a prompt into an empty cache and generating from an empty cache, as\n"
            "llama-bench's pp and tg do. One run warms up, the median of --repeats is printed.\n"
            "load_seconds is once, from the file's name to an engine and a tokenizer (if the\n"
            "model has one) that are ready. peak_rss_bytes is the process's largest resident\n"
            "memory, mapped weights included.\n\n"
            "  cloister bench --model SmolLM2.gguf --prompt-tokens 512 --generate-tokens 64\n"
            "  cloister bench --model SmolLM2.gguf --threads 1 --kernels scalar --json";
        AddModelFlags(flags.options);
        auto add = flags.options.add_options();
        add("prompt-tokens", po::value<std::int64_t>()->default_value(512)->value_name("N"),
            "Tokens of the prompt");
        add("generate-tokens", po::value<std::int64_t>()->default_value(64)->value_name("N"),
            "Tokens to generate");
        add("repeats", po::value<std::int64_t>()->default_value(5)->value_name("N"),
            "Runs that the median is taken of");
        CLOISTER_ASSIGN_OR_RETURN(const auto values, Parse(flags, arguments));
        return values ? Run(*values) : base::Status();
      }};
}

}  // namespace cloister::cli
