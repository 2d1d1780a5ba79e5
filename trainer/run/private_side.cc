#include "trainer/run/private_side.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <system_error>
#include <unordered_set>
#include <utility>

#include "base/log.h"
#include "security/primitives.h"
#include "trainer/run/matrix_plan.h"

namespace cloister::trainer {
namespace {

// Never met before, so that a spend's key cannot be one of another run's.
std::string RunId() { return "run-" + security::Hex(security::RandomSecret(16).bytes()); }

// What must be said of a run whose steps are one release.
void Announce(const PrivacyPlan& plan) {
  const auto& [encoder, participation] = *plan.matrix;
  base::LogInfo(
      "matrix factorization with " + std::to_string(encoder.bands()) + " bands, units at most " +
      std::to_string(participation.max_participations) + " times and at least " +
      std::to_string(participation.min_separation) +
      " steps apart: all steps are one release under zero-out neighbours, debited before the "
      "first, so each step shows the whole run's ε");
}

// Numbers that a thread is worth.
constexpr std::int64_t kGrain = std::int64_t{1} << 16;

template <typename Value>
void ReadScaled(const dp::LatticeSum& points, std::int64_t first, double scale,
                std::span<Value> values) {
  at::parallel_for(0, static_cast<std::int64_t>(values.size()), kGrain,
                   [&](std::int64_t begin, std::int64_t end) {
                     points.ReadScaled(first + begin, scale,
                                       values.subspan(static_cast<std::size_t>(begin),
                                                      static_cast<std::size_t>(end - begin)));
                   });
}

}  // namespace

void NoisedGradient::Read(std::int64_t first, std::span<float> values) const {
  ReadScaled(sum_.points(), first, scale_, values);
}

void NoisedGradient::ReadSum(std::span<double> values) const {
  ReadScaled(sum_.points(), 0, sum_.spacing(), values);
}

base::Result<PrivateSide::Mechanism> PrivateSide::MakeMechanism(const PrivacyPlan& plan,
                                                                const dp::Ledger& ledger,
                                                                const RunCheckpoints& checkpoints) {
  security::AesCtrStream random = security::AesCtrStream::FromSystem();
  if (!plan.matrix) {
    CLOISTER_ASSIGN_OR_RETURN(dp::GaussianMechanism gaussian,
                              dp::GaussianMechanism::Create(plan.mechanism, std::move(random)));
    return Mechanism(std::move(gaussian));
  }
  const dp::MatrixMechanism::Parameters parameters = MatrixParameters(plan);
  if (checkpoints.resumed() == nullptr) {
    CLOISTER_ASSIGN_OR_RETURN(
        dp::MatrixMechanism matrix,
        dp::MatrixMechanism::Create(parameters, plan.matrix->encoder, std::move(random)));
    return Mechanism(std::move(matrix));
  }
  CLOISTER_ASSIGN_OR_RETURN(const auto states, checkpoints.NoiseStates(ledger));
  std::vector<std::span<const std::uint8_t>> views;
  for (const security::SecretBytes& state : states) views.push_back(state.bytes());
  CLOISTER_ASSIGN_OR_RETURN(const std::int64_t released,
                            ledger.LastStep(checkpoints.resumed()->privacy->job));
  CLOISTER_ASSIGN_OR_RETURN(dp::MatrixMechanism matrix,
                            dp::MatrixMechanism::Restore(parameters, plan.matrix->encoder,
                                                         std::move(random), views, released));
  return Mechanism(std::move(matrix));
}

base::Result<PrivateSide> PrivateSide::Open(const Recipe& recipe, const PrivacyPlan& plan,
                                            const RecordFile& train, RunCheckpoints& checkpoints,
                                            Ranks& ranks) {
  const Recipe::Privacy& privacy = *recipe.privacy;
  std::optional<FixedOrderBatches> order;
  if (plan.matrix) {
    CLOISTER_ASSIGN_OR_RETURN(order, OrderOf(recipe, plan));
  }
  if (!ranks.first()) {
    CLOISTER_ASSIGN_OR_RETURN(DataUnits units, DataUnits::Of(train, privacy.unit));
    return PrivateSide(recipe, plan, std::move(units), nullptr, "", Mechanism(), std::move(order),
                       checkpoints, ranks);
  }
  std::error_code ignored;
  const bool fresh = !std::filesystem::exists(privacy.ledger, ignored);
  const bool resumed = checkpoints.resumed() != nullptr;
  if (fresh && resumed) {
    return base::Fail(base::Code::kFailedPrecondition,
                      "--resume: there is no ledger " + privacy.ledger.string() +
                          ": name the one that the run began with");
  }
  CLOISTER_ASSIGN_OR_RETURN(DataUnits units, DataUnits::Of(train, privacy.unit));
  CLOISTER_ASSIGN_OR_RETURN(auto ledger, dp::Ledger::Open(privacy.ledger));
  if (resumed) CLOISTER_RETURN_IF_ERROR(checkpoints.Authenticate(*ledger));
  CLOISTER_ASSIGN_OR_RETURN(Mechanism mechanism, MakeMechanism(plan, *ledger, checkpoints));
  if (fresh) {
    base::LogInfo("new ledger " + privacy.ledger.string() +
                  ": nothing was spent on this data before, as far as this ledger knows");
  }
  CLOISTER_ASSIGN_OR_RETURN(
      const std::string data_set,
      ledger->RegisterDataSet(recipe.data.train.string(), LedgerKeys(train, privacy.unit),
                              privacy.unit, privacy.neighbours,
                              {privacy.budget_epsilon, privacy.budget_delta}));
  PrivateSide side(recipe, plan, std::move(units), std::move(ledger), data_set,
                   std::move(mechanism), std::move(order), checkpoints, ranks);
  CLOISTER_RETURN_IF_ERROR(side.GoOn());
  const std::int64_t left =
      plan.matrix ? (side.debited_ ? 0 : plan.steps) : plan.steps - side.taken_;
  if (left > 0) {
    CLOISTER_RETURN_IF_ERROR(side.ledger_->CheckAffordable(data_set, plan.Spend(left)));
  }
  if (plan.matrix) Announce(plan);
  return side;
}

PrivateSide::PrivateSide(const Recipe& recipe, const PrivacyPlan& plan, DataUnits units,
                         std::unique_ptr<dp::Ledger> ledger, std::string data_set,
                         Mechanism mechanism, std::optional<FixedOrderBatches> order,
                         RunCheckpoints& checkpoints, Ranks& ranks)
    : privacy_(*recipe.privacy),
      batch_size_(recipe.training.batch_size),
      plan_(plan),
      units_(std::move(units)),
      ledger_(std::move(ledger)),
      data_set_(std::move(data_set)),
      checkpoints_(&checkpoints),
      ranks_(&ranks),
      run_(RunId()),
      mechanism_(std::move(mechanism)),
      sampling_(security::AesCtrStream::FromSystem()),
      order_(std::move(order)) {
  if (privacy_.adaptive) {
    adaptive_.emplace(*privacy_.adaptive, privacy_.clip_norm, NominalBatch());
  }
  if (plan_.matrix) correlation_ = NoiseCorrelation(*plan_.matrix);
}

// Takes up the run of the checkpoint, where there is one.
base::Status PrivateSide::GoOn() {
  const CheckpointHeader* const from = checkpoints_->resumed();
  if (from == nullptr) return {};
  run_ = from->privacy->job;
  if (adaptive_) adaptive_->Restore(from->privacy->clip_norm);
  CLOISTER_ASSIGN_OR_RETURN(const auto rows, ledger_->RowsOfJob(run_));
  std::int64_t recorded = 0;  // steps that the ledger knows of
  for (const dp::Ledger::Row& row : rows) {
    debited_ = true;
    recorded = std::max(recorded, row.spend.key.round);
  }
  taken_ = recorded;
  if (const auto* const matrix = std::get_if<dp::MatrixMechanism>(&mechanism_)) {
    taken_ = matrix->step();
    CLOISTER_ASSIGN_OR_RETURN(recorded, ledger_->LastStep(run_));
    // A step may have been given up between its row and its record.
    recorded = debited_ ? recorded + 1 : 0;
  }
  if (recorded < from->step) {
    return base::Fail(base::Code::kFailedPrecondition,
                      "--resume: the ledger " + privacy_.ledger.string() +
                          " knows of fewer steps of this run than the checkpoint, which stands "
                          "after step " +
                          std::to_string(from->step) +
                          ": name the ledger that the run began with, not an older copy");
  }
  return {};
}

std::vector<std::int64_t> PrivateSide::Slots() const { return order_->Batch(taken_); }

std::vector<std::int64_t> PrivateSide::DrawOf(std::span<const std::int64_t> places) {
  const auto count = static_cast<std::int64_t>(places.size());
  if (!order_) return PoissonDraw(count, privacy_.sampling_rate, sampling_);
  const std::vector<std::int64_t> slots = Slots();
  const std::unordered_set<std::int64_t> turn(slots.begin(), slots.end());
  std::vector<std::int64_t> drawn;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t slot = places[static_cast<std::size_t>(i)] % order_->slots();
    if (turn.contains(slot)) drawn.push_back(i);
  }
  return drawn;
}

// What a user adds to a step is cut to the clip norm whichever records it is made of, so these may
// be drawn: from the same generator, and independently of every other unit.
std::vector<std::int64_t> PrivateSide::RecordsOf(std::int64_t unit) {
  std::vector<std::int64_t> records = units_.records(unit);
  const auto most = static_cast<std::size_t>(privacy_.max_records_per_unit);
  if (most == 0 || records.size() <= most) return records;
  for (std::size_t i = 0; i < most; ++i) {
    std::swap(records[i], records[i + sampling_.NextBelow(records.size() - i)]);
  }
  records.resize(most);
  std::sort(records.begin(), records.end());
  return records;
}

std::vector<std::vector<std::int64_t>> PrivateSide::Draw() {
  std::vector<std::vector<std::int64_t>> drawn;
  if (!order_) {
    const Shard shard = {ranks_->rank(), ranks_->size()};
    for (const std::int64_t unit :
         PoissonDraw(units_.size(), privacy_.sampling_rate, sampling_, shard)) {
      drawn.push_back(RecordsOf(unit));
    }
    return drawn;
  }
  for (const std::int64_t slot : ranks_->Deal(Slots())) {
    for (std::int64_t unit = slot; unit < units_.size(); unit += order_->slots()) {
      drawn.push_back(RecordsOf(unit));
    }
  }
  return drawn;
}

TrainableModel::ClipOptions PrivateSide::clipping() const {
  TrainableModel::ClipOptions options = {.rule = plan_.rule,
                                         .unit = privacy_.unit,
                                         .neighbours = privacy_.neighbours,
                                         .count_weight = plan_.count_weight,
                                         .normalized = adaptive_.has_value(),
                                         .spacing = plan_.mechanism.spacing};
  if (adaptive_) options.rule.clip_norms = {adaptive_->norm()};
  return options;
}

base::Result<dp::NoisedSum> PrivateSide::Noise(dp::ClippedSum sum, std::int64_t step) {
  if (auto* const gaussian = std::get_if<dp::GaussianMechanism>(&mechanism_)) {
    return gaussian->Release(std::move(sum), *ledger_, data_set_,
                             {.job = run_, .round = step, .attempt = 1});
  }
  // One spend for all steps.
  const auto keep = [this](const dp::CorrelatedNoise& noise) {
    return checkpoints_->KeepNoise(noise, run_, *ledger_);
  };
  return std::get<dp::MatrixMechanism>(mechanism_)
      .Release(std::move(sum), *ledger_, data_set_, {.job = run_, .round = 0, .attempt = 1}, keep);
}

base::Result<std::vector<std::uint8_t>> PrivateSide::SealedNoise() const {
  const auto* const matrix = std::get_if<dp::MatrixMechanism>(&mechanism_);
  if (matrix == nullptr) return std::vector<std::uint8_t>();
  return checkpoints_->Seal(matrix->noise(), run_, *ledger_);
}

base::Result<PrivateSide::Released> PrivateSide::Release(dp::ClippedSum own, std::int64_t step) {
  CLOISTER_ASSIGN_OR_RETURN(dp::ClippedSum::Joined joined,
                            dp::ClippedSum::JoinOnFirst(std::move(own), *ranks_));
  Released released{.gradient = std::nullopt, .spare = std::move(joined.spare)};
  base::Status done;
  if (joined.whole) {
    base::Result<NoisedGradient> gradient = ReleaseWhole(std::move(*joined.whole), step);
    if (gradient) released.gradient.emplace(std::move(*gradient));
    if (!gradient) done = base::Forward(std::move(gradient));
  }
  CLOISTER_RETURN_IF_ERROR(ranks_->Agree(std::move(done)));
  taken_ = step;
  CLOISTER_RETURN_IF_ERROR(Share());
  return released;
}

// What the first rank knows by its ledger and by what was released.
base::Status PrivateSide::Share() {
  if (ranks_->size() == 1) return {};
  std::array<double, 3> told = {static_cast<double>(taken_), clip_norm(), 0};
  CLOISTER_ASSIGN_OR_RETURN(
      told[2], ranks_->Agreed(ledger_ != nullptr && taken_ > 0 ? EpsilonOfLedger()
                                                               : base::Result<double>(0.0)));
  CLOISTER_RETURN_IF_ERROR(ranks_->Broadcast(std::as_writable_bytes(std::span(told))));
  taken_ = static_cast<std::int64_t>(told[0]);
  if (adaptive_) adaptive_->Restore(told[1]);
  epsilon_ = told[2];
  return {};
}

base::Result<NoisedGradient> PrivateSide::ReleaseWhole(dp::ClippedSum sum, std::int64_t step) {
  CLOISTER_ASSIGN_OR_RETURN(dp::NoisedSum noised, Noise(std::move(sum), step));
  const double unit = (adaptive_ ? adaptive_->norm() : 1) / NominalBatch();
  std::int64_t parameters = noised.points().dimension();
  if (adaptive_) {
    std::int64_t count = 0;
    noised.points().Read(--parameters, std::span(&count, 1));
    adaptive_->Update(static_cast<double>(count) * noised.spacing() / plan_.count_weight);
  }
  const double scale = noised.spacing() * unit;
  return NoisedGradient(std::move(noised), parameters, scale, NoiseVariance(step) * unit * unit);
}

double PrivateSide::NoiseVariance(std::int64_t step) const {
  const double deviation = plan_.mechanism.noise_multiplier * plan_.mechanism.clip_norm;
  if (!plan_.matrix) return deviation * deviation;
  return deviation * deviation * correlation_.at(static_cast<std::size_t>(step - 1));
}

base::Result<double> PrivateSide::Epsilon() const {
  if (ranks_->size() > 1) return epsilon_;
  return EpsilonOfLedger();
}

base::Result<double> PrivateSide::EpsilonOfLedger() const {
  CLOISTER_ASSIGN_OR_RETURN(const dp::Ledger::Total total,
                            ledger_->SpentByJob(data_set_, run_, privacy_.delta));
  if (taken_ > 0 && total.releases == 0) {
    return base::Fail(base::Code::kDataLoss, "ledger " + privacy_.ledger.string() +
                                                 " knows nothing of this run's steps: it is not "
                                                 "the one that they were debited in");
  }
  return total.epsilon;
}

base::Result<RecordedSpend> PrivateSide::Spent() const {
  RecordedSpend spend;
  spend.data_set = data_set_;
  CLOISTER_ASSIGN_OR_RETURN(const auto rows, ledger_->Rows());
  for (const dp::Ledger::Row& row : rows) {
    if (row.spend.key.job == run_) spend.Add(row.spend.event);
  }
  return spend;
}

double PrivateSide::NominalBatch() const {
  if (order_) return static_cast<double>(batch_size_);
  return privacy_.sampling_rate * static_cast<double>(privacy_.nominal_units);
}

double PrivateSide::NominalTokens() const {
  return NominalBatch() * static_cast<double>(privacy_.nominal_tokens);
}

}  // namespace cloister::trainer
