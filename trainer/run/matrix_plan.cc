#include "trainer/run/matrix_plan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "dp/accounting/calibration.h"
#include "dp/matrix_factorization/factorization.h"
#include "dp/mechanism/lattice_rounding.h"

namespace cloister::trainer {
namespace {

// Of steps^2 * bands: up to here the general matrix takes a second or so to find.
constexpr std::int64_t kMostGeneralWork = std::int64_t{1} << 21;
// What rounding may move a sum by, over the clip norm: nearly what the mechanism allows.
constexpr double kMostRounding = 0.99 * dp::kLargestLatticeExcess;

// Of the clip norm, for noise of so many clip norms: fine, or where noise is large so that its
// standard deviation is at most 2^36 units of 2^-12 spacings, up to where the sampler is quick.
double SpacingShare(double noise) {
  return dp::kFineSpacing * std::max(1.0, std::exp2(std::ceil(std::log2(noise))));
}

base::Result<dp::BandedMatrix> FindEncoder(const Recipe& recipe) {
  const bool sgd = recipe.optimizer.kind == OptimizerKind::kSgd;
  const dp::Workload workload{recipe.training.steps,
                              sgd ? recipe.optimizer.momentum : recipe.optimizer.beta1};
  const std::int64_t bands = recipe.privacy->matrix->bands;
  const bool few = workload.steps <= kMostGeneralWork / workload.steps / bands;
  return few ? dp::OptimizeBanded(workload, bands) : dp::OptimizeToeplitz(workload, bands);
}

base::Status SetNoise(PrivacyPlan& plan, double noise_multiplier, double delta) {
  plan.noise_multiplier = plan.mechanism.noise_multiplier = noise_multiplier;
  CLOISTER_ASSIGN_OR_RETURN(const double sensitivity,
                            dp::Sensitivity(plan.matrix->encoder, plan.matrix->participation));
  const double share = SpacingShare(noise_multiplier * sensitivity);
  if (!(share * std::sqrt(static_cast<double>(plan.mechanism.dimension)) < kMostRounding)) {
    return base::Fail(base::Code::kInvalidArgument,
                      "noise of " + std::to_string(noise_multiplier * sensitivity) +
                          " clip norms does not fit the lattice with so many trained parameters: "
                          "lower privacy.max_participations or privacy.noise_multiplier, or train "
                          "fewer parameters");
  }
  plan.mechanism.spacing = plan.mechanism.clip_norm * share;
  CLOISTER_ASSIGN_OR_RETURN(
      plan.step, dp::MatrixMechanism::EventOf(MatrixParameters(plan), plan.matrix->encoder));
  const std::array<dp::Event, 1> events = {plan.step};
  CLOISTER_ASSIGN_OR_RETURN(plan.epsilon, dp::PlanEpsilon(events, delta));
  return {};
}

// Raises the noise until the mechanism that will run, lattice and slack included, keeps `target`.
base::Status Calibrate(PrivacyPlan& plan, double target, double delta) {
  CLOISTER_ASSIGN_OR_RETURN(
      double noise_multiplier,
      dp::SmallestNoise({target, delta, dp::Neighbours::kZeroOut, dp::Accountant::kPld}, 1, 1));
  // What the lattice takes of it is given beforehand, but for the hair by which that changes it.
  CLOISTER_RETURN_IF_ERROR(SetNoise(plan, noise_multiplier, delta));
  noise_multiplier *= noise_multiplier / plan.step.noise_multiplier;
  for (int attempt = 0; attempt < 100; ++attempt) {
    CLOISTER_RETURN_IF_ERROR(SetNoise(plan, noise_multiplier, delta));
    if (plan.epsilon <= target) return {};
    noise_multiplier *= 1.00005;
  }
  return base::Fail(base::Code::kInvalidArgument,
                    "no noise keeps privacy.target_epsilon at privacy.delta: raise one of them");
}

// What one step keeps of the noise is sealed in one piece, and no key seals more than 2 GiB.
base::Status CheckNoiseCanBeKept(const Recipe& recipe, std::int64_t parameters) {
  constexpr std::int64_t kMost = (std::int64_t{1} << 31) - (std::int64_t{1} << 16);
  if (!recipe.checkpoints) return {};
  const std::int64_t rows = std::max<std::int64_t>(1, recipe.privacy->matrix->bands - 1);
  if (parameters <= kMost / static_cast<std::int64_t>(sizeof(std::int64_t)) / rows) return {};
  return base::Fail(
      base::Code::kInvalidArgument,
      "'checkpoints' keep at most 2 GiB of correlated noise, eight bytes for each of " +
          std::to_string(parameters) +
          " parameters and all of 'privacy.bands' but "
          "one: lower the bands, train fewer parameters or leave checkpoints out");
}

}  // namespace

base::Result<PrivacyPlan> PlanPrivacy(const Recipe& recipe, std::int64_t parameters,
                                      std::int64_t layers) {
  if (recipe.privacy->matrix) return MakeMatrixPlan(recipe, parameters, layers);
  CLOISTER_ASSIGN_OR_RETURN(
      const PrivacyPlan plan,
      MakePrivacyPlan(*recipe.privacy, recipe.training.steps, parameters, layers));
  // Of a run that ends sooner: it would spend all on steps that hardly learn.
  const std::int64_t warmup = recipe.schedule.warmup_steps;
  if (warmup > 0 && warmup >= plan.steps) {
    return base::Fail(base::Code::kInvalidArgument,
                      "'privacy.target_epsilon' leaves " + std::to_string(plan.steps) +
                          " steps at this 'privacy.noise_multiplier', and "
                          "'optimizer.warmup_steps' is " +
                          std::to_string(warmup) +
                          ": warm up for fewer, or take more noise or a larger target");
  }
  return plan;
}

base::Result<FixedOrderBatches> OrderOf(const Recipe& recipe, const PrivacyPlan& plan) {
  return FixedOrderBatches::Create({.slots = recipe.privacy->nominal_units,
                                    .batch_size = recipe.training.batch_size,
                                    .steps = plan.steps},
                                   plan.matrix->participation, recipe.training.seed);
}

std::vector<double> NoiseCorrelation(const PrivacyPlan::Matrix& matrix) {
  std::vector<double> squares = dp::InverseRowSquares(matrix.encoder);
  // The plan was made of it.
  const double sensitivity = dp::Sensitivity(matrix.encoder, matrix.participation).value();
  for (double& square : squares) square *= sensitivity * sensitivity;
  return squares;
}

dp::MatrixMechanism::Parameters MatrixParameters(const PrivacyPlan& plan) {
  return {.noise_multiplier = plan.mechanism.noise_multiplier,
          .clip_norm = plan.mechanism.clip_norm,
          .dimension = plan.mechanism.dimension,
          .spacing = plan.mechanism.spacing,
          .participation = plan.matrix->participation};
}

base::Result<PrivacyPlan> MakeMatrixPlan(const Recipe& recipe, std::int64_t parameters,
                                         std::int64_t layers) {
  const Recipe::Privacy& privacy = *recipe.privacy;
  CLOISTER_RETURN_IF_ERROR(CheckNoiseCanBeKept(recipe, parameters));
  CLOISTER_ASSIGN_OR_RETURN(dp::BandedMatrix encoder, FindEncoder(recipe));
  PrivacyPlan plan;
  plan.steps = recipe.training.steps;
  plan.rule = ClipRuleOf(privacy, layers);
  plan.mechanism = {.clip_norm = plan.rule.Sensitivity(),
                    .sampling_rate = 1,
                    .dimension = parameters,
                    .neighbours = privacy.neighbours};
  plan.matrix = {std::move(encoder),
                 {.max_participations = privacy.matrix->max_participations,
                  .min_separation = privacy.matrix->min_separation}};
  if (!privacy.noise_multiplier) {
    CLOISTER_RETURN_IF_ERROR(Calibrate(plan, *privacy.target_epsilon, privacy.delta));
    return plan;
  }
  CLOISTER_RETURN_IF_ERROR(SetNoise(plan, *privacy.noise_multiplier, privacy.delta));
  if (privacy.target_epsilon && plan.epsilon > *privacy.target_epsilon) {
    PrivacyPlan enough = plan;
    CLOISTER_RETURN_IF_ERROR(Calibrate(enough, *privacy.target_epsilon, privacy.delta));
    return base::Fail(base::Code::kInvalidArgument,
                      "privacy.noise_multiplier passes privacy.target_epsilon, whatever the number "
                      "of steps, as all are one release: give at least " +
                          RoundedUp(enough.noise_multiplier) + ", or leave it out");
  }
  if (!std::isfinite(plan.epsilon)) {
    return base::Fail(base::Code::kInvalidArgument,
                      "privacy.noise_multiplier gives no finite ε at privacy.delta: raise it");
  }
  return plan;
}

}  // namespace cloister::trainer
