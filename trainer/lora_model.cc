#include <ATen/ATen.h>

#include <utility>

#include "model/adapter.h"
#include "trainer/networks/adapter_view.h"
#include "trainer/torch_model.h"

namespace cloister::trainer {
namespace {

// A LoRA adapter on frozen weights.
class LoraModel final : public TorchModel {
 public:
  LoraModel(Network network, const model::LoraConfig& config, Flat flat, AdapterView view)
      : TorchModel(std::move(network), std::move(flat), std::move(view.shapes), at::kDouble),
        config_(config),
        adapter_(std::move(view.network)) {}

  base::Status Save(const std::filesystem::path& folder,
                    const std::filesystem::path& base) const override {
    return model::SaveAdapter(folder, config_, architecture(), values(), base.string());
  }

 private:
  NetworkAdapter Watched(dp::clipping::GradientObserver& observer) const override {
    NetworkAdapter watched = adapter_;
    watched.observer = &observer;
    watched.dropout.rate = config_.dropout;
    return watched;
  }
  const NetworkAdapter* Unwatched() const override { return &adapter_; }

  model::LoraConfig config_;
  NetworkAdapter adapter_;  // its matrices share the memory of the vector that the network reads
};

}  // namespace

std::unique_ptr<TrainableModel> MakeLoraModel(Network network, const model::LoraConfig& config) {
  const auto layout = model::AdapterLayout(config, network.architecture());
  const at::Tensor here = at::zeros({model::AdapterSize(layout)}, at::TensorOptions(at::kFloat));
  const at::Tensor there = here.to(network.device());  // itself on the CPU
  AdapterView view = MakeAdapterView(config, network.architecture(), there);
  return std::make_unique<LoraModel>(std::move(network), config, TorchModel::Flat{here, there},
                                     std::move(view));
}

}  // namespace cloister::trainer
