#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "dp/mechanism/privacy_types.h"
#include "trainer/recipe/recipe.h"
#include "trainer/suggest/step_cost.h"

namespace cloister::trainer {

// What somebody who has no recipe yet knows. Nothing is read from the records: a recipe that was
// fitted to private data would tell of it.
struct SuggestionRequest {
  std::filesystem::path model;
  std::filesystem::path train;
  std::optional<std::filesystem::path> eval;
  std::filesystem::path output;
  enum class Method { kLora, kQlora, kFull };  // as the recipe's key
  Method method{};
  std::int64_t units = 0;        // records or users: a public figure, which may be rounded
  std::int64_t unit_tokens = 0;  // of one, about; public
  std::optional<std::int64_t> max_tokens;  // none: kMaxTokens, or fewer where the model has fewer
  std::optional<double> epochs;            // none: kPrivateEpochs or kPlainEpochs
  struct Privacy {
    double epsilon = 0;
    std::optional<double> delta;  // none: the power of ten below a tenth of one over `units`
    dp::PrivacyUnit unit{};
  };
  std::optional<Privacy> privacy;
};

inline constexpr std::int64_t kMaxTokens = 512;
inline constexpr double kPrivateEpochs = 5;
inline constexpr double kPlainEpochs = 3;

// A recipe to start from, and why each figure is what it is.
struct Suggestion {
  Recipe recipe;
  std::vector<std::string> reasons;
  std::optional<double> noise_multiplier;  // of the plan, with privacy
  RunCost cost;

  // The recipe as YAML under its reasons, as comments: a file for `cloister train --config`.
  std::string ToText() const;
};

// kInvalidArgument for a request out of range, naming the flag of `cloister train --suggest`; else
// the errors of ChooseSteps and MeasureCost. The rules stand in docs/reference/suggest.md.
base::Result<Suggestion> Suggest(const SuggestionRequest& request);

}  // namespace cloister::trainer
