#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <filesystem>
#include <utility>
#include <vector>

#include "dp/clipping/gradient_observer.h"
#include "model/model_files.h"
#include "tests/trainer/golden_examples.h"
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
class WholeNetwork {
 public:
  explicit WholeNetwork(const std::filesystem::path& folder,
                        const trainer::ComputeOptions& options = {})
      : network_(Load(folder, options)),
        numbers_(network_.weights()),
        examples_(trainer::GoldenExamples(folder)),
        golden_norms_(trainer::GoldenFloats(folder, "grad_norm_per_sample")) {
    at::set_num_threads(1);  // too small to share
    for (const at::Tensor& weight : network_.weights().Parameters()) weight.requires_grad_();
  }

  std::size_t examples() const { return examples_.size(); }
  double golden_norm(std::size_t i) const { return golden_norms_[i]; }
  const trainer::WeightNumbers& numbers() const { return numbers_; }

  // Returns the loss.
  double Run(std::size_t example, GradientObserver& observer) const {
    trainer::NetworkAdapter trained;
    trained.weights = {numbers_, observer};
    const at::Tensor loss = trainer::BatchLoss(network_, &trained, BatchOf(example)).sum();
    torch::autograd::backward({loss}, {});
    return loss.item<double>();
  }

  // Ordinary gradients of all weights (of the head too, which the fused loss does not give); a
  // weight that no token reached has none.
  std::vector<at::Tensor> PlainGradients(std::size_t example) const {
    const trainer::Batch batch = BatchOf(example);
    const at::Tensor logits = network_.Logits(network_.Hidden(batch.ids, nullptr, batch.lengths));
    const at::Tensor loss =
        at::cross_entropy_loss(logits.flatten(0, 1).index_select(0, batch.position), batch.targets);
    return torch::autograd::grad({loss}, network_.weights().Parameters(), {}, false, false,
                                 /*allow_unused=*/true);
  }

  // The same in fp64 [parameters], zeros where there is none.
  at::Tensor Gradient(std::size_t example) const {
    const std::vector<at::Tensor> weights = network_.weights().Parameters();
    const std::vector<at::Tensor> gradients = PlainGradients(example);
    std::vector<at::Tensor> flat;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      flat.push_back((gradients[i].defined() ? gradients[i] : at::zeros_like(weights[i]))
                         .flatten()
                         .to(at::kDouble));
    }
    return at::cat(flat);
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
  std::vector<float> golden_norms_;
};

}  // namespace cloister::dp::clipping
