#include <ATen/ATen.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "model/save_weights.h"
#include "trainer/networks/weight_watch.h"
#include "trainer/torch_model.h"

namespace cloister::trainer {
namespace {

using dp::clipping::ParameterShape;

// Where each parameter stands, in the group of its layer; those outside of the layers are a group
// of their own.
std::vector<ParameterShape> Shapes(const WeightNumbers& numbers,
                                   const std::vector<WeightPlace>& places, std::int64_t layers) {
  std::vector<ParameterShape> shapes = numbers.shapes();
  for (ParameterShape& shape : shapes) {
    const auto place = std::find_if(
        places.begin(), places.end(),
        [&](const WeightPlace& candidate) { return candidate.offset == shape.offset; });
    CLOISTER_CHECK(place != places.end());
    shape.group = place->layer < 0 ? layers : place->layer;
  }
  return shapes;
}

// What stands outside of the layers, and each layer's, which follow one another.
ShardedParameters::Parts PartsOf(const std::vector<WeightPlace>& places, std::int64_t layers) {
  ShardedParameters::Parts parts;
  parts.layers.resize(static_cast<std::size_t>(layers));
  for (const WeightPlace& place : places) {
    Range& part =
        place.layer < 0 ? parts.outside : parts.layers[static_cast<std::size_t>(place.layer)];
    const auto begin = static_cast<std::size_t>(place.offset);
    if (part.size() == 0) part.begin = part.end = begin;
    CLOISTER_CHECK(part.end == begin);
    part.end = begin + static_cast<std::size_t>(place.elements);
  }
  return parts;
}

// Every weight of a network.
class FullModel final : public TorchModel {
 public:
  // `there` as TorchModel::Flat has it.
  FullModel(const model::Architecture& architecture, FlatWeights weights, at::Tensor there,
            const WeightNumbers& numbers, const ComputeOptions& options, Ranks* ranks)
      : TorchModel(Network(architecture, std::move(weights.network), options),
                   {weights.flat, std::move(there)},
                   Shapes(numbers, weights.places, architecture.num_layers), at::kFloat),
        numbers_(numbers),
        places_(std::move(weights.places)) {
    for (const at::Tensor& weight : network().weights().Parameters()) weight.requires_grad_();
    if (ranks != nullptr) {
      Shard(*ranks, std::move(weights.memory), PartsOf(places_, architecture.num_layers));
    }
  }

  base::Status Save(const std::filesystem::path& folder,
                    const std::filesystem::path& base) const override {
    std::unordered_map<std::string, std::span<const float>> values_of;
    for (const WeightPlace& place : places_) {
      values_of.emplace(place.name, values().subspan(static_cast<std::size_t>(place.offset),
                                                     static_cast<std::size_t>(place.elements)));
    }
    return model::SaveWeights(base, folder, values_of);
  }

 private:
  NetworkAdapter Watched(dp::clipping::GradientObserver& observer) const override {
    NetworkAdapter watched;
    watched.weights = WeightWatch(numbers_, observer);
    return watched;
  }
  const NetworkAdapter* Unwatched() const override { return nullptr; }

  WeightNumbers numbers_;
  std::vector<WeightPlace> places_;
};

}  // namespace

std::unique_ptr<TrainableModel> MakeFullModel(const model::Architecture& architecture,
                                              FlatWeights weights, const at::Device& device,
                                              const ComputeOptions& options, Ranks* ranks) {
  at::Tensor there = weights.flat;
  if (!device.is_cpu()) there = weights.network.MoveTo(device, weights.flat);
  const WeightNumbers numbers(weights.network);
  CLOISTER_CHECK(numbers.parameters() == weights.flat.numel());
  return std::make_unique<FullModel>(architecture, std::move(weights), std::move(there), numbers,
                                     options, ranks);
}

}  // namespace cloister::trainer
