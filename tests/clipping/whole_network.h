#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "dp/clipping/gradient_observer.h"
#include "model/huggingface/safetensors_file.h"
#include "model/model_files.h"
#include "trainer/networks/batch.h"
#include "trainer/networks/weight_watch.h"

namespace cloister::dp::clipping {

// What an observer was told of one parameter, kept as it was.
struct Told {
  std::int64_t parameter = 0;
  at::Tensor left, right;  // of a lookup ids and values; of a vector values and nothing

  friend bool operator==(const Told& a, const Told& b) {
    const auto same = [](const at::Tensor& x, const at::Tensor& y) {
      return x.defined() == y.defined() &&
             (!x.defined() || (x.dtype() == y.dtype() && at::equal(x, y)));
    };
    return a.parameter == b.parameter && same(a.left, b.left) && same(a.right, b.right);
  }
};

// Keeps everything that it is told, in order.
class Recorder : public GradientObserver {
 public:
  void ObserveMatrix(std::int64_t parameter, const at::Tensor& left,
                     const at::Tensor& right) override {
    told.push_back({parameter, left.clone(), right.clone()});
  }
  void ObserveLookup(std::int64_t parameter, const at::Tensor& ids,
                     const at::Tensor& values) override {
    told.push_back({parameter, ids.clone(), values.clone()});
  }
  void ObserveVector(std::int64_t parameter, const at::Tensor& values) override {
    told.push_back({parameter, values.clone(), {}});
  }

  std::vector<Told> told;
};

// A fixture's network with all its weights to be trained, computed as `options` say, and its rows
// as examples.
class ComputedNetwork {
 public:
  ComputedNetwork(const std::filesystem::path& folder, const trainer::ComputeOptions& options)
      : network_(Load(folder, options)), numbers_(network_.weights()) {
    at::set_num_threads(1);  // too small to share
    for (const at::Tensor& weight : network_.weights().Parameters()) weight.requires_grad_();
    const auto golden = model::SafetensorsFile::Open(folder / "golden.safetensors").value();
    const auto& ids = golden.entries().at("input_ids");
    for (std::int64_t b = 0; b < ids.shape[0]; ++b) {
      trainer::Example example;
      for (std::int64_t t = 0; t < ids.shape[1]; ++t) {
        std::int64_t id = 0;
        std::memcpy(&id, ids.data.data() + 8 * (b * ids.shape[1] + t), sizeof id);
        example.ids.push_back(static_cast<model::TokenId>(id));
        example.answer.push_back(t > 0 ? 1 : 0);
      }
      examples_.push_back(std::move(example));
    }
  }

  std::size_t examples() const { return examples_.size(); }
  const trainer::WeightNumbers& numbers() const { return numbers_; }

  // Returns the loss.
  double Run(std::size_t example, GradientObserver& observer) const {
    trainer::NetworkAdapter trained;
    trained.weights = {numbers_, observer};
    const at::Tensor loss = trainer::BatchLoss(network_, &trained, BatchOf(example)).sum();
    torch::autograd::backward({loss}, {});
    return loss.item<double>();
  }

  // Ordinary gradients of all weights; a weight that no token reached has none.
  std::vector<at::Tensor> PlainGradients(std::size_t example) const {
    const trainer::Batch batch = BatchOf(example);
    const at::Tensor logits = network_.Logits(network_.Hidden(batch.ids, nullptr, batch.lengths));
    const at::Tensor loss =
        at::cross_entropy_loss(logits.flatten(0, 1).index_select(0, batch.position), batch.targets);
    return torch::autograd::grad({loss}, network_.weights().Parameters(), {}, false, false,
                                 /*allow_unused=*/true);
  }

 private:
  static trainer::Network Load(const std::filesystem::path& folder,
                               const trainer::ComputeOptions& options) {
    const auto files = model::ModelFiles::Open(folder).value();
    const auto architecture = files->architecture().value();
    return {architecture, trainer::LoadWeights(*files, architecture).value(), options};
  }

  trainer::Batch BatchOf(std::size_t example) const {
    return trainer::MakeBatch(examples_, std::array{example});
  }

  trainer::Network network_;
  trainer::WeightNumbers numbers_;
  std::vector<trainer::Example> examples_;
};

}  // namespace cloister::dp::clipping
