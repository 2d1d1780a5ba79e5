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
  CLOISTER_ASSIGN_OR_RETURN(auto ledger, dp::Ledger::Open(privacy.ledger));
  if (fresh) {
    base::LogInfo("new ledger " + privacy.ledger.string() +
                  ": nothing was spent on this data before, as far as this ledger knows");
  }
  CLOISTER_ASSIGN_OR_RETURN(
      const std::string data_set,
      ledger->RegisterDataSet(recipe.data.train.string(), train.unit_hashes(), privacy.unit,
                              privacy.neighbours, {privacy.budget_epsilon, privacy.budget_delta}));
  CLOISTER_RETURN_IF_ERROR(ledger->CheckAffordable(data_set, plan.Spend(plan.steps)));
  CLOISTER_ASSIGN_OR_RETURN(
      auto mechanism,
      dp::GaussianMechanism::Create(plan.mechanism, security::AesCtrStream::FromSystem()));
  return PrivateSide(privacy, plan, train.size(), std::move(ledger), data_set,
                     std::move(mechanism));
}

PrivateSide::PrivateSide(const Recipe::Privacy& privacy, const PrivacyPlan& plan,
                         std::int64_t units, std::unique_ptr<dp::Ledger> ledger,
                         std::string data_set, dp::GaussianMechanism mechanism)
    : privacy_(privacy),
      plan_(plan),
      units_(units),
      ledger_(std::move(ledger)),
      data_set_(std::move(data_set)),
      run_(RunId()),
      mechanism_(std::move(mechanism)),
      sampling_(security::AesCtrStream::FromSystem()) {}

std::vector<std::int64_t> PrivateSide::DrawOf(std::int64_t units) {
  return PoissonDraw(units, privacy_.sampling_rate, sampling_);
}

base::Result<std::vector<double>> PrivateSide::Release(dp::ClippedSum sum, std::int64_t step) {
  CLOISTER_ASSIGN_OR_RETURN(const dp::NoisedSum noised,
                            mechanism_.Release(std::move(sum), *ledger_, data_set_,
                                               {.job = run_, .round = step, .attempt = 1}));
  std::vector<double> gradient;
  gradient.reserve(noised.lattice().size());
  for (const std::int64_t value : noised.lattice()) {
    gradient.push_back(static_cast<double>(value) * noised.spacing() / NominalBatch());
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
