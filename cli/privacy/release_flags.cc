#include "cli/privacy/release_flags.h"

#include <charconv>
#include <utility>

namespace cloister::cli {

namespace po = boost::program_options;

namespace {

template <typename Value>
void Add(Flags& flags, Flag kind, const char* name, const char* text) {
  auto* const value = po::value<Value>();
  flags.options.add_options()(name, kind == Flag::kRequired ? value->required() : value, text);
}

}  // namespace

void AddNoiseFlag(Flags& flags, Flag kind) {
  Add<double>(flags, kind, "noise-multiplier", "Noise's standard deviation over the sensitivity");
}

void AddRateFlag(Flags& flags, Flag kind) {
  Add<double>(flags, kind, "sampling-rate", "Probability of a unit to be in a step, at most 1");
}

void AddStepsFlag(Flags& flags, Flag kind) {
  Add<StepCount>(flags, kind, "steps", "Number of releases");
}

void validate(boost::any& value, const std::vector<std::string>& words, StepCount*, int) {
  po::validators::check_first_occurrence(value);
  const std::string& word = po::validators::get_single_string(words);
  StepCount steps;
  const char* const end = word.data() + word.size();
  const auto [parsed, error] = std::from_chars(word.data(), end, steps.value);
  if (error != std::errc() || parsed != end) {
    throw po::error("--steps, '" + word.substr(0, 40) +
                    "' is no whole number from 1 to 1e12 in digits");
  }
  value = steps;
}

base::Error NamingFlags(base::Error error, const std::string& epsilon_flag) {
  const std::pair<std::string, std::string> names[] = {
      {"privacy event, noise_multiplier", "--noise-multiplier"},
      {"privacy event, sampling_rate", "--sampling-rate"},
      {"privacy event, steps", "--steps"},
      {"delta, accounting", "--delta"},
      {"epsilon, accounting", epsilon_flag},
  };
  for (const auto& [field, flag] : names) {
    if (error.message.starts_with(field)) error.message.replace(0, field.size(), flag);
  }
  return error;
}

}  // namespace cloister::cli
