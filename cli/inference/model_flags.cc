#include "cli/inference/model_flags.h"

#include <algorithm>
#include <charconv>

namespace cloister::cli {
namespace po = boost::program_options;

void AddModelFlags(po::options_description& options) {
  options.add_options()("model", po::value<std::string>()->required()->value_name("PATH"),
                        "Model: a GGUF file, or a Hugging Face folder (config.json, safetensors)");
  options.add_options()("threads", po::value<int>()->default_value(0)->value_name("N"),
                        "Threads; 0 is one a processor");
  options.add_options()("kernels", po::value<std::string>()->value_name("TIER"),
                        "Kernels: scalar or avx2; without it the best that this processor has");
  options.add_options()("json", po::bool_switch(), "Print JSON, one object a line");
}

base::Result<std::shared_ptr<const model::ModelFiles>> OpenModel(const po::variables_map& values) {
  return model::ModelFiles::Open(values["model"].as<std::string>());
}

base::Result<inference::EngineOptions> EngineOptionsOf(const po::variables_map& values) {
  inference::EngineOptions options;
  options.threads = values["threads"].as<int>();
  CLOISTER_RETURN_IF_ERROR(CheckAtLeast("--threads", options.threads, 0));
  if (values.contains("kernels")) {
    auto tier = kernels::cpu::ParseTier(values["kernels"].as<std::string>());
    if (!tier) return base::Annotate(std::move(tier), "--kernels");
    options.tier = *tier;
  }
  return options;
}

base::Result<std::vector<model::TokenId>> ParseIds(const std::string& text,
                                                   const std::string& flag) {
  std::vector<model::TokenId> ids;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    model::TokenId id = 0;
    const auto [stop, error] = std::from_chars(at, end, id);
    const bool more = stop != end && *stop == ',' && stop + 1 != end;
    if (error != std::errc() || id < 0 || (stop != end && !more)) {
      return base::Fail(base::Code::kInvalidArgument,
                        flag + " is '" + text + "': write token ids as 1,2,3");
    }
    ids.push_back(id);
    at = more ? stop + 1 : stop;
  }
  return ids;
}

std::vector<model::TokenId> EndTokens(const model::Architecture& architecture,
                                      const model::Tokenizer* tokenizer) {
  std::vector<model::TokenId> ends;
  const auto add = [&](model::TokenId id) {
    if (std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
  };
  for (const std::int64_t id : architecture.eos_token_ids) add(static_cast<model::TokenId>(id));
  if (tokenizer != nullptr) {
    for (const model::TokenId id : tokenizer->end_of_generation()) add(id);
  }
  return ends;
}

std::vector<model::TokenId> EncodeForModel(const model::Tokenizer& tokenizer, std::string_view text,
                                           bool parse_special) {
  return tokenizer.Encode(text, {.parse_special = parse_special, .add_bos = tokenizer.adds_bos()});
}

base::Status CheckAtLeast(const std::string& flag, std::int64_t value, std::int64_t least) {
  if (value >= least) return {};
  return base::Fail(
      base::Code::kInvalidArgument,
      flag + " is " + std::to_string(value) + ": it must be at least " + std::to_string(least));
}

}  // namespace cloister::cli
