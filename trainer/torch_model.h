#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "dp/clipping/gradient_observer.h"
#include "dp/clipping/parameter_shape.h"
#include "trainer/distributed/sharded_parameters.h"
#include "trainer/memory_gate.h"
#include "trainer/networks/network.h"
#include "trainer/networks/weights.h"
#include "trainer/trainable_model.h"
#include "trainer/unit_workers.h"

namespace cloister::trainer {

// What a trained adapter and trained weights share: whatever is trained tells a GradientObserver
// what its gradient is made of, and private and plain training differ in the observer.
class TorchModel : public TrainableModel {
 public:
  // The vector that is trained, fp32 [parameters]: `here`, on the CPU, where it is changed, and
  // `there`, where the network reads it. One tensor, or `there` is the copy on another device.
  struct Flat {
    at::Tensor here, there;
  };

  std::int64_t parameters() const override { return flat_.numel(); }
  const model::Architecture& architecture() const override { return network_.architecture(); }
  std::span<float> values() override;
  base::Status SetParameters(std::span<const float> parameters) override;
  void BeginStep(std::uint64_t seed, std::int64_t step) override { seed_ = seed, step_ = step; }
  base::Result<Clipped> ClippedGradient(std::span<const UnitExamples> units,
                                        const ClipOptions& options,
                                        const Progress& progress) override;
  void Reuse(dp::LatticeSum spare) override { spare_ = std::move(spare); }
  base::Result<Plain> Gradient(std::span<const Example> examples, LossMean mean,
                               std::int64_t micro_batch_tokens, const Progress& progress) override;
  base::Result<double> Loss(std::span<const Example> examples, std::int64_t micro_batch_tokens,
                            const Progress& progress) override;
  base::Result<std::vector<Score>> Scores(std::span<const Example> examples,
                                          std::int64_t micro_batch_tokens,
                                          const Progress& progress) override;
  base::Result<std::vector<model::TokenId>> Continue(std::span<const model::TokenId> prompt,
                                                     std::int64_t max_new_tokens,
                                                     std::span<const model::TokenId> ends,
                                                     const Progress& progress) override;

 protected:
  // `flat` is cut into `shapes`. A plain gradient is added up in `sum_type`.
  TorchModel(Network network, Flat flat, std::vector<dp::clipping::ParameterShape> shapes,
             at::ScalarType sum_type);

  // From now on the network's passes are those of `ranks` together; `memory` is of the flat vector.
  void Shard(Ranks& ranks, std::shared_ptr<base::PagedMemory> memory,
             ShardedParameters::Parts parts);

  const Network& network() const { return network_; }
  std::span<const float> values() const;

 private:
  // The network as it is trained; its gradients go to `observer`, which must outlive their pass.
  virtual NetworkAdapter Watched(dp::clipping::GradientObserver& observer) const = 0;
  // The same for a pass without gradients.
  virtual const NetworkAdapter* Unwatched() const = 0;

  // `watched`, with what of `chosen` among the examples is drawn for this step; their losses.
  at::Tensor Losses(NetworkAdapter& watched, std::span<const Example> examples,
                    std::span<const std::size_t> chosen, bool packed) const;

  // Runs `body`, which makes such passes, where they find the weights: by all ranks together where
  // each has its part.
  template <typename Value>
  base::Result<Value> WithWeights(const char* what, const ShardedParameters::Passes& passes,
                                  const std::function<base::Result<Value>()>& body);
  // Brings what passes read up to date with the vector that is trained.
  void PlaceWeights();
  // How many examples are computed side by side: on another device than the CPU one.
  std::int64_t Threads() const;
  UnitLanes Lanes(std::span<const UnitExamples> units);
  const at::Tensor& EmptySum();

  Network network_;
  at::Tensor flat_, there_;
  std::vector<dp::clipping::ParameterShape> shapes_;
  at::ScalarType sum_type_;
  std::uint64_t seed_ = 0;  // of BeginStep()
  std::int64_t step_ = 0;
  MemoryGate gate_;  // of ClippedGradient()
  dp::LatticeSum spare_{0};
  at::Tensor sum_, gradient_;                  // of Gradient(); one tensor where the types are one
  std::unique_ptr<ShardedParameters> shards_;  // null: all weights are here
};

// An adapter, `config` valid for the network, on the network's device; all weights, moved to
// `device`, with `ranks` this one's part of them.
// See TrainableModel::Load.
std::unique_ptr<TrainableModel> MakeLoraModel(Network network, const model::LoraConfig& config);
std::unique_ptr<TrainableModel> MakeFullModel(const model::Architecture& architecture,
                                              FlatWeights weights, const at::Device& device,
                                              const ComputeOptions& options, Ranks* ranks);

}  // namespace cloister::trainer
