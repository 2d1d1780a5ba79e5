#include "trainer/recipe/mechanism_section.h"

#include <yaml-cpp/yaml.h>

#include <array>
#include <cstdint>

#include "dp/matrix_factorization/workload.h"
#include "trainer/data/sampling.h"

namespace cloister::trainer {
namespace {

constexpr std::string_view kGaussian = "gaussian";
constexpr std::string_view kMatrix = "matrix-factorization";
constexpr auto kMatrixKeys = std::to_array<std::string_view>(
    {"privacy.bands", "privacy.min_separation", "privacy.max_participations"});

bool Has(const FlatRecipe& flat, std::string_view path) { return flat.contains(std::string(path)); }

// Absent, it is the one that recipes knew before there were two.
std::string NameIn(const FlatRecipe& flat) {
  const auto found = flat.find("privacy.mechanism");
  if (found == flat.end()) return std::string(kGaussian);
  return found->second.IsScalar() ? found->second.Scalar() : std::string();
}

std::string Missing(std::string_view path, std::string_view why) {
  return "'" + std::string(path) + "' is missing" + std::string(why);
}

void AddGaussianFaults(const FlatRecipe& flat, std::vector<std::string>& faults) {
  if (!Has(flat, "privacy.sampling_rate")) faults.push_back(Missing("privacy.sampling_rate", ""));
  for (const std::string_view key : kMatrixKeys) {
    if (!Has(flat, key)) continue;
    faults.push_back("'" + std::string(key) +
                     "' goes with 'privacy.mechanism' matrix-factorization alone");
  }
  if (Has(flat, "training.batch_size")) {
    faults.emplace_back(
        "'training.batch_size' may not stand with 'privacy': the batch is drawn at "
        "'privacy.sampling_rate'");
  }
  if (Has(flat, "training.seed")) {
    faults.emplace_back(
        "'training.seed' may not stand with 'privacy': draws and noise have no seed");
  }
}

void AddMatrixFaults(const FlatRecipe& flat, std::vector<std::string>& faults) {
  for (const std::string_view key : kMatrixKeys) {
    if (!Has(flat, key)) faults.push_back(Missing(key, ""));
  }
  if (!Has(flat, "training.batch_size")) {
    faults.push_back(Missing("training.batch_size",
                             ": with matrix-factorization each step takes so many units"));
  }
  if (Has(flat, "privacy.sampling_rate")) {
    faults.emplace_back(
        "'privacy.sampling_rate' may not stand with 'privacy.mechanism' matrix-factorization: "
        "nothing is sampled, each step takes the next 'training.batch_size' units");
  }
  for (const char* key : {"quantile", "rate", "count_noise_multiplier"}) {
    if (!Has(flat, std::string("privacy.adaptive.") + key)) continue;
    faults.emplace_back(
        "'privacy.adaptive' may not stand with 'privacy.mechanism' matrix-factorization: the noise "
        "of one step cancels in later ones at the same clip norm alone");
    break;
  }
}

tl::unexpected<base::Error> Wrong(const std::string& key, const std::string& what) {
  return base::Fail(base::Code::kInvalidArgument, "'" + key + "' " + what);
}

std::string Number(std::int64_t value) { return std::to_string(value); }

}  // namespace

std::string_view MechanismName(const Recipe::Privacy& privacy) {
  return privacy.matrix ? kMatrix : kGaussian;
}

std::vector<std::string> MechanismFaults(const FlatRecipe& flat) {
  std::vector<std::string> faults;
  const std::string name = NameIn(flat);
  if (name == kMatrix) {
    AddMatrixFaults(flat, faults);
  } else if (name == kGaussian) {
    AddGaussianFaults(flat, faults);
  } else if (!name.empty()) {  // else it is no text, which is said of every such key
    faults.push_back("'privacy.mechanism' is '" + name +
                     "': write gaussian or matrix-factorization");
  }
  return faults;
}

std::optional<Recipe::MatrixFactorization> ReadMatrixFactorization(const FlatRecipe& flat) {
  if (NameIn(flat) != kMatrix) return std::nullopt;
  const auto number = [&](const char* path) { return flat.find(path)->second.as<std::int64_t>(); };
  return Recipe::MatrixFactorization{.bands = number("privacy.bands"),
                                     .min_separation = number("privacy.min_separation"),
                                     .max_participations = number("privacy.max_participations")};
}

base::Status CheckNeighbours(const Recipe::Privacy& privacy) {
  const dp::Neighbours needed =
      privacy.matrix ? dp::Neighbours::kZeroOut : dp::Neighbours::kAddOrRemoveOne;
  if (privacy.neighbours == needed) return {};
  if (privacy.matrix) {
    return Wrong("privacy.neighbours",
                 "is " + std::string(dp::NeighboursName(privacy.neighbours)) +
                     ", but in a fixed order a unit more would move all others: "
                     "matrix-factorization protects under zero-out alone, write zero-out");
  }
  if (privacy.neighbours == dp::Neighbours::kZeroOut) {
    return Wrong("privacy.neighbours",
                 "zero-out goes with 'privacy.mechanism' matrix-factorization alone: write "
                 "add-or-remove-one, or choose that mechanism");
  }
  return base::Fail(base::Code::kUnimplemented,
                    "'privacy.neighbours' other than add-or-remove-one is not built yet for "
                    "training: write add-or-remove-one");
}

base::Status CheckMatrixFactorization(const Recipe& recipe) {
  const Recipe::MatrixFactorization& matrix = *recipe.privacy->matrix;
  const FixedOrder order{.slots = recipe.privacy->nominal_units,
                         .batch_size = recipe.training.batch_size,
                         .steps = recipe.training.steps};
  if (order.steps > dp::kMostMatrixSteps) {
    return Wrong("training.steps", "is more than the " + Number(dp::kMostMatrixSteps) +
                                       " that matrix-factorization takes: give at most so many");
  }
  if (order.batch_size > order.slots) {
    return Wrong("training.batch_size",
                 "is more than 'privacy.nominal_units': a unit would stand twice in a step, give "
                 "at most " +
                     Number(order.slots));
  }
  const dp::Participation schedule = order.Schedule();
  const std::string batches = Number(order.slots) +
                              " units (privacy.nominal_units) in batches of " +
                              Number(order.batch_size) + " (training.batch_size)";
  if (matrix.min_separation > schedule.min_separation) {
    return Wrong("privacy.min_separation",
                 "is more than the " + Number(schedule.min_separation) + " steps after which " +
                     batches + " come round: give at most " + Number(schedule.min_separation) +
                     ", or a smaller batch");
  }
  if (matrix.bands > matrix.min_separation) {
    return Wrong("privacy.bands",
                 "is more than 'privacy.min_separation': give at most " +
                     Number(matrix.min_separation) + " bands" +
                     (matrix.min_separation < schedule.min_separation
                          ? ", or a separation of up to " + Number(schedule.min_separation)
                          : ""));
  }
  if (matrix.bands > order.steps) {
    return Wrong("privacy.bands",
                 "is more than 'training.steps': give at most " + Number(order.steps));
  }
  if (schedule.max_participations > matrix.max_participations) {
    const std::int64_t fitting = matrix.max_participations * order.slots / order.batch_size;
    return Wrong("privacy.max_participations",
                 "is less than the " + Number(schedule.max_participations) + " times that " +
                     batches + " may take part in " + Number(order.steps) +
                     " steps: give at least " + Number(schedule.max_participations) +
                     ", or a training.steps of at most " + Number(fitting));
  }
  return {};
}

}  // namespace cloister::trainer
