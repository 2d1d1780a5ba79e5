#include "trainer/run/own_part.h"

#include "dp/audit/canary_set.h"

namespace cloister::trainer {
namespace {

std::vector<dp::audit::Canary> DrawCanaries(PrivateSide& side, RunProbe* probe) {
  std::vector<dp::audit::Canary> canaries;
  if (probe == nullptr) return canaries;
  const auto units = probe->units();
  std::vector<std::int64_t> places;
  for (const dp::audit::Canary& unit : units) places.push_back(unit.coordinate);
  for (const std::int64_t drawn : side.DrawOf(places)) {
    canaries.push_back(units[static_cast<std::size_t>(drawn)]);
  }
  return canaries;
}

}  // namespace

base::Result<TrainableModel::Plain> OwnGradient(const std::vector<std::int64_t>& records,
                                                const RecordData& data, TrainableModel& model,
                                                const Recipe::Training& training,
                                                const TrainableModel::Progress& keep_going,
                                                std::vector<Example>& examples) {
  if (!keep_going(0)) return StoppedWork();
  CLOISTER_ASSIGN_OR_RETURN(examples, data.Load(records));
  return model.Gradient(examples, training.loss_mean, training.micro_batch_tokens, keep_going);
}

base::Result<TrainableModel::Clipped> OwnSum(PrivateSide& side, const RecordData& data,
                                             TrainableModel& model, RunProbe* probe,
                                             const TrainableModel::Progress& keep_going) {
  if (!keep_going(0)) return StoppedWork();
  std::vector<UnitExamples> units;
  for (const std::vector<std::int64_t>& records : side.Draw()) {
    CLOISTER_ASSIGN_OR_RETURN(units.emplace_back(), data.Load(records));
  }
  const std::vector<dp::audit::Canary> canaries = DrawCanaries(side, probe);
  TrainableModel::ClipOptions clipping = side.clipping();
  clipping.canaries = canaries;
  return model.ClippedGradient(units, clipping, keep_going);
}

void ShowRelease(RunProbe* probe, const NoisedGradient* released) {
  if (probe == nullptr || released == nullptr) return;
  std::vector<double> whole(static_cast<std::size_t>(released->parameters()));
  released->ReadSum(whole);
  probe->Released(whole);
}

}  // namespace cloister::trainer
