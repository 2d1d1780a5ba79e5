#include "trainer/run/private_side.h"

#include <system_error>
#include <utility>

#include "base/log.h"
#include "security/primitives.h"
#include "trainer/data/sampling.h"

namespace cloister::trainer {
namespace {

// Never met before, so that a spend's key cannot be one of another run's.
std::string RunId() { return "run-" + security::Hex(security::RandomSecret(16).bytes()); }

}  // namespace

base::Result<PrivateSide> PrivateSide::Open(const Recipe& recipe, const PrivacyPlan& plan,
                                            const ChatFile& train) {
  const Recipe::Privacy& privacy = *recipe.privacy;
  std::error_code ignored;
  const bool fresh = !std::filesystem::exists(privacy.ledger, ignored);
  CLOISTER_ASSIGN_OR_RETURN(DataUnits units, DataUnits::Of(train, privacy.unit));
  CLOISTER_ASSIGN_OR_RETURN(auto ledger, dp::Ledger::Open(privacy.ledger));
  if (fresh) {
    base::LogInfo("new ledger " + privacy.ledger.string() +
                  ": nothing was spent on this data before, as far as this ledger knows");
  }
  CLOISTER_ASSIGN_OR_RETURN(
      const std::string data_set,
      ledger->RegisterDataSet(recipe.data.train.string(), units.ledger_keys(), privacy.unit,
                              privacy.neighbours, {privacy.budget_epsilon, privacy.budget_delta}));
  CLOISTER_RETURN_IF_ERROR(ledger->CheckAffordable(data_set, plan.Spend(plan.steps)));
  CLOISTER_ASSIGN_OR_RETURN(
      auto mechanism,
      dp::GaussianMechanism::Create(plan.mechanism, security::AesCtrStream::FromSystem()));
  return PrivateSide(privacy, plan, std::move(units), std::move(ledger), data_set,
                     std::move(mechanism));
}

PrivateSide::PrivateSide(const Recipe::Privacy& privacy, const PrivacyPlan& plan, DataUnits units,
                         std::unique_ptr<dp::Ledger> ledger, std::string data_set,
                         dp::GaussianMechanism mechanism)
    : privacy_(privacy),
      plan_(plan),
      units_(std::move(units)),
      ledger_(std::move(ledger)),
      data_set_(std::move(data_set)),
      run_(RunId()),
      mechanism_(std::move(mechanism)),
      sampling_(security::AesCtrStream::FromSystem()) {
  if (privacy_.adaptive) {
    adaptive_.emplace(*privacy_.adaptive, privacy_.clip_norm, NominalBatch());
  }
}

std::vector<std::int64_t> PrivateSide::DrawOf(std::int64_t units) {
  return PoissonDraw(units, privacy_.sampling_rate, sampling_);
}

std::vector<std::span<const std::int64_t>> PrivateSide::Draw() {
  std::vector<std::span<const std::int64_t>> drawn;
  for (const std::int64_t unit : DrawOf(units_.size())) {
    drawn.push_back(units_.records(unit));
  }
  return drawn;
}

TrainableModel::ClipOptions PrivateSide::clipping() const {
  TrainableModel::ClipOptions options = {.rule = plan_.rule,
                                         .unit = privacy_.unit,
                                         .neighbours = privacy_.neighbours,
                                         .count_weight = plan_.count_weight,
                                         .normalized = adaptive_.has_value()};
  if (adaptive_) options.rule.clip_norms = {adaptive_->norm()};
  return options;
}

base::Result<std::vector<double>> PrivateSide::Release(dp::ClippedSum sum, std::int64_t step) {
  CLOISTER_ASSIGN_OR_RETURN(const dp::NoisedSum noised,
                            mechanism_.Release(std::move(sum), *ledger_, data_set_,
                                               {.job = run_, .round = step, .attempt = 1}));
  std::vector<double> gradient;
  gradient.reserve(noised.lattice().size());
  const double scale = adaptive_ ? adaptive_->norm() : 1;
  for (const std::int64_t value : noised.lattice()) {
    gradient.push_back(static_cast<double>(value) * noised.spacing() * scale / NominalBatch());
  }
  if (adaptive_) {
    gradient.pop_back();
    adaptive_->Update(static_cast<double>(noised.lattice().back()) * noised.spacing() /
                      plan_.count_weight);
  }
  return gradient;
}

base::Result<double> PrivateSide::Epsilon() const {
  CLOISTER_ASSIGN_OR_RETURN(const dp::Ledger::Total total,
                            ledger_->SpentByJob(data_set_, run_, privacy_.delta));
  return total.epsilon;
}

double PrivateSide::NominalBatch() const {
  return privacy_.sampling_rate * static_cast<double>(privacy_.nominal_units);
}

double PrivateSide::NominalTokens() const {
  return NominalBatch() * static_cast<double>(privacy_.nominal_tokens);
}

}  // namespace cloister::trainer
