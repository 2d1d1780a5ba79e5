#include "cli/train/suggest.h"

#include <algorithm>
#include <array>
#include <iostream>
#include <string_view>

#include "cli/command.h"
#include "trainer/suggest/suggestion.h"

namespace cloister::cli {
namespace {

namespace po = boost::program_options;

constexpr std::array<std::string_view, 3> kMethods = {"lora", "qlora", "full"};  // as the enum

constexpr const char* kAbout =
    R"(Prints a recipe to start from: with --epsilon a private one, without it a plain one. How many
records there are, and how long they are, must be told: nothing is read from them, for a recipe that
was fitted to private data would tell of it. Time and memory are measured on this machine with
random tokens. The rules stand in docs/reference/suggest.md. Write it to a file, look at
it, and run it with `cloister train --config FILE`.)";

base::Result<trainer::SuggestionRequest> RequestOf(const po::variables_map& values) {
  trainer::SuggestionRequest request;
  request.model = values["model"].as<std::string>();
  request.train = values["data"].as<std::string>();
  if (values.contains("eval")) request.eval = values["eval"].as<std::string>();
  request.output = values["output"].as<std::string>();
  request.units = values["units"].as<std::int64_t>();
  request.unit_tokens = values["tokens"].as<std::int64_t>();
  if (values.contains("max-tokens")) request.max_tokens = values["max-tokens"].as<std::int64_t>();
  if (values.contains("epochs")) request.epochs = values["epochs"].as<double>();
  const std::string method = values["method"].as<std::string>();
  const auto* const known = std::find(kMethods.begin(), kMethods.end(), method);
  if (known == kMethods.end()) {
    return base::Fail(base::Code::kInvalidArgument, "--method: name lora, qlora or full");
  }
  request.method = static_cast<trainer::SuggestionRequest::Method>(known - kMethods.begin());
  if (!values.contains("epsilon")) {
    if (values.contains("delta") || values.contains("unit")) {
      return base::Fail(base::Code::kInvalidArgument,
                        "--delta and --unit belong to a private recipe: give --epsilon too");
    }
    return request;
  }
  if (!values.contains("unit")) {
    return base::Fail(base::Code::kInvalidArgument,
                      "--unit is missing: name what is protected, record or user");
  }
  request.privacy.emplace();
  request.privacy->epsilon = values["epsilon"].as<double>();
  if (values.contains("delta")) request.privacy->delta = values["delta"].as<double>();
  CLOISTER_ASSIGN_OR_RETURN(request.privacy->unit, dp::ParseUnit(values["unit"].as<std::string>()));
  return request;
}

nlohmann::ordered_json ToJson(const trainer::Suggestion& made) {
  nlohmann::ordered_json json = {
      {"recipe", made.ToText()}, {"reasons", made.reasons}, {"steps", made.recipe.training.steps}};
  json["noise_multiplier"] = nullptr;
  if (made.noise_multiplier) json["noise_multiplier"] = *made.noise_multiplier;
  json["seconds_a_step"] = made.cost.seconds_a_step;
  json["seconds"] = made.cost.seconds;
  json["peak_bytes"] = made.cost.peak_bytes;
  json["parameters"] = made.cost.parameters;
  return json;
}

}  // namespace

base::Status SuggestRecipe(std::span<const std::string> arguments) {
  Flags flags;
  flags.usage =
      "cloister train --suggest --model P --data F.jsonl --units N [--epsilon E --unit "
      "record|user] "
      "[--method lora|qlora|full] [--json]";
  flags.about = kAbout;
  flags.options.add_options()("suggest", po::bool_switch(), "Print a recipe, train nothing")(
      "model", po::value<std::string>()->required(), "A GGUF file or a Hugging Face folder")(
      "data", po::value<std::string>()->required(), "The training records, for the recipe alone")(
      "eval", po::value<std::string>(), "Held-out records, for the recipe alone")(
      "output", po::value<std::string>()->default_value("runs/suggested"),
      "The folder that the recipe writes")("units", po::value<std::int64_t>()->required(),
                                           "How many records or users there are, about")(
      "tokens", po::value<std::int64_t>()->default_value(128), "Tokens of one, about")(
      "max-tokens", po::value<std::int64_t>(),
      "Where a longer record is cut (512, or the model's positions)")(
      "epochs", po::value<double>(), "Passes over the data (5 with privacy, 3 without)")(
      "method", po::value<std::string>()->default_value("lora"), "lora, qlora or full")(
      "epsilon", po::value<double>(), "The privacy loss to keep; none: no privacy")(
      "delta", po::value<double>(), "Its delta; none: far below one over the units")(
      "unit", po::value<std::string>(), "What is protected: record or user")(
      "json", po::bool_switch(), "One JSON object on stdout");
  CLOISTER_ASSIGN_OR_RETURN(const auto values, Parse(flags, arguments));
  if (!values) return {};
  CLOISTER_ASSIGN_OR_RETURN(const trainer::SuggestionRequest request, RequestOf(*values));
  CLOISTER_ASSIGN_OR_RETURN(const trainer::Suggestion made, trainer::Suggest(request));
  if ((*values)["json"].as<bool>()) {
    PrintResult(ToJson(made), true);
  } else {
    std::cout << made.ToText();
  }
  return {};
}

}  // namespace cloister::cli
