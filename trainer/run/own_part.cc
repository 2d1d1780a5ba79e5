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

base::Result<std::vector<UnitExamples>> DrawUnits(PrivateSide& side, const RecordData& data,
                                                  const TrainableModel::Progress& keep_going) {
  if (!keep_going(0)) return StoppedWork();
  std::vector<UnitExamples> units;
  for (const std::vector<std::int64_t>& records : side.Draw()) {
    CLOISTER_ASSIGN_OR_RETURN(units.emplace_back(), data.Load(records));
  }
  return units;
}

}  // namespace

base::Result<TrainableModel::Plain> OwnGradient(Ranks& ranks,
                                                const std::vector<std::int64_t>& batch,
                                                const RecordData& data, TrainableModel& model,
                                                const Recipe::Training& training,
                                                const TrainableModel::Progress& keep_going,
                                                std::vector<Example>& examples) {
  base::Result<std::vector<Example>> loaded = StoppedWork();
  if (keep_going(0)) loaded = data.Load(ranks.Deal(batch));
  CLOISTER_ASSIGN_OR_RETURN(examples, ranks.Agreed(std::move(loaded)));
  return model.Gradient(examples, training.loss_mean, training.micro_batch_tokens, keep_going);
}

base::Result<TrainableModel::Clipped> OwnSum(Ranks& ranks, PrivateSide& side,
                                             const RecordData& data, TrainableModel& model,
                                             RunProbe* probe,
                                             const TrainableModel::Progress& keep_going) {
  CLOISTER_ASSIGN_OR_RETURN(const std::vector<UnitExamples> units,
                            ranks.Agreed(DrawUnits(side, data, keep_going)));
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
