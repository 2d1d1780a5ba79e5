#include "trainer/report/privacy_statement.h"

#include <nlohmann/json.hpp>

#include "dp/accounting/accountant.h"
#include "trainer/report/run_summary.h"

namespace cloister::trainer {
namespace {

using nlohmann::ordered_json;

std::string ClippingText(const Recipe::Privacy& privacy) {
  const std::string unit(dp::UnitName(privacy.unit));
  const std::string norm = Exact(privacy.clip_norm);
  if (privacy.adaptive) {
    return "each " + unit + "'s gradient is cut to an L2 norm that begins at " + norm +
           " and follows a quantile, counted with noise of its own";
  }
  switch (privacy.clipping) {
    case Recipe::Clipping::kAutomatic:
      return "each " + unit + "'s gradient is normalized to an L2 norm below " + norm;
    case Recipe::Clipping::kPerLayer:
      return "each " + unit + "'s gradient is cut layer by layer, to an L2 norm of " + norm +
             " in all";
    case Recipe::Clipping::kFlat:
      break;
  }
  return "each " + unit + "'s gradient is cut to an L2 norm of " + norm;
}

std::string MechanismText(const Recipe& recipe) {
  const Recipe::Privacy& privacy = *recipe.privacy;
  const std::string noise = Exact(privacy.noise_multiplier.value_or(0));
  if (privacy.matrix) {
    return "Banded matrix factorization (DP-FTRL) with " + std::to_string(privacy.matrix->bands) +
           " bands: " + ClippingText(privacy) +
           "; Gaussian noise that is correlated over the steps, of noise multiplier " + noise +
           ", makes all steps together one release.";
  }
  return "Poisson-sampled Gaussian (DP-SGD): each step draws each " +
         std::string(dp::UnitName(privacy.unit)) + " with probability " +
         Exact(privacy.sampling_rate) + "; " + ClippingText(privacy) +
         "; the sum gets Gaussian noise of noise multiplier " + noise + ".";
}

ordered_json EventJson(const dp::Event& event) {
  ordered_json json = {{"mechanism", dp::MechanismName(event.mechanism)},
                       {"noise_multiplier", event.noise_multiplier},
                       {"sampling_rate", event.sampling_rate},
                       {"steps", event.steps},
                       {"neighbours", dp::NeighboursName(event.neighbours)}};
  if (event.delta_slack > 0) json["delta_slack"] = event.delta_slack;
  return json;
}

}  // namespace

base::Result<PrivacyStatement> MakePrivacyStatement(const Recipe& recipe,
                                                    const RecordedSpend& spend) {
  const Recipe::Privacy& privacy = *recipe.privacy;
  const std::vector<dp::Event> events = spend.Events();
  PrivacyStatement statement;
  statement.delta = privacy.delta;
  CLOISTER_ASSIGN_OR_RETURN(const dp::PrivacyCost cost,
                            dp::CostAtDelta(events, privacy.delta, dp::Accountant::kPld));
  statement.epsilon = cost.epsilon;
  statement.accountant = dp::AccountantName(cost.accountant);
  statement.unit = dp::UnitName(privacy.unit);
  statement.neighbours = dp::NeighboursName(privacy.neighbours);
  statement.mechanism = MechanismText(recipe);
  ordered_json rows = ordered_json::array();
  for (const dp::Event& event : events) rows.push_back(EventJson(event));
  statement.events = rows.dump(1) + "\n";
  statement.command = std::string("cloister privacy epsilon --events ") + kEventsFile +
                      " --delta " + Exact(privacy.delta);
  return statement;
}

}  // namespace cloister::trainer
