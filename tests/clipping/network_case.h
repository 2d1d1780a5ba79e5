#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cstdio>
#include <initializer_list>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "dp/clipping/unit_clipper.h"
#include "model/model_files.h"
#include "tests/trainer/dequantized.h"
#include "trainer/networks/adapter_view.h"
#include "trainer/networks/batch.h"

namespace cloister::dp::clipping {

// A tiny network with an adapter on every linear layer that may have one, B not zero, and some
// examples of different lengths: what the clipping engine is compared on.
class NetworkCase {
 public:
  NetworkCase(const std::string& fixture, std::int64_t rank, std::int64_t first_layer,
              const trainer::ComputeOptions& options = {}) {
    at::set_num_threads(1);  // too small to share
    const auto files =
        model::ModelFiles::Open(std::string(CLOISTER_TEST_DATA) + "/models/" + fixture).value();
    architecture_ = files->architecture().value();
    config_ = {.rank = rank,
               .alpha = 2.0 * static_cast<double>(rank),
               .targets = AllTargets(architecture_, first_layer),
               .first_layer = first_layer};
    trainer::NetworkWeights weights =
        trainer::LoadWeights(*files, architecture_, trainer::Precision::kFp32, options.base)
            .value();
    weights_ = trainer::Dequantized(weights);
    network_ = std::make_unique<trainer::Network>(architecture_, std::move(weights), options);
    at::manual_seed(kSeed);
    std::printf("seed %d\n", kSeed);
    flat_ = at::randn({model::AdapterSize(model::AdapterLayout(config_, architecture_))}) * 0.1;
    view_ = trainer::MakeAdapterView(config_, architecture_, flat_);
    for (std::int64_t length : {9, 21, 14, 30, 5, 17}) examples_.push_back(RandomExample(length));
  }

  std::int64_t parameters() const { return flat_.numel(); }
  const std::vector<ParameterShape>& shapes() const { return view_.shapes; }
  std::size_t examples() const { return examples_.size(); }
  const trainer::Example& example(std::size_t index) const { return examples_[index]; }
  const model::LoraConfig& config() const { return config_; }
  std::span<const float> values() const {
    return {flat_.const_data_ptr<float>(), static_cast<std::size_t>(flat_.numel())};
  }

  // From here on the adapter's inputs are dropped at this rate, as in this step of a run.
  void DropInputs(double rate, std::int64_t step) { dropout_ = rate, step_ = step; }

  // One forward and one backward pass over the chosen examples under `observer`.
  void Run(std::span<const std::size_t> chosen, GradientObserver& observer) const {
    trainer::NetworkAdapter adapter = Adapter(chosen);
    adapter.observer = &observer;
    const at::Tensor losses =
        trainer::BatchLoss(*network_, &adapter, trainer::MakeBatch(examples_, chosen));
    torch::autograd::backward({losses.sum()}, {});
  }

  // The chosen examples' gradients of the adapter's matrices, without an observer.
  std::vector<at::Tensor> PlainGradients(std::span<const std::size_t> chosen) const {
    const trainer::NetworkAdapter adapter = Adapter(chosen);
    const at::Tensor losses =
        trainer::BatchLoss(*network_, &adapter, trainer::MakeBatch(examples_, chosen));
    return torch::autograd::grad({losses.sum()}, view_.leaves);
  }

  // The gradient of one example alone, fp64 [parameters], by ordinary differentiation of the
  // network whose weights are W + scale B A: nothing of the clipping engine takes part.
  at::Tensor Gradient(std::size_t example) const {
    const trainer::Network merged(architecture_, MergedWeights());
    const std::vector<std::size_t> chosen = {example};
    const at::Tensor loss =
        trainer::BatchLoss(merged, nullptr, trainer::MakeBatch(examples_, chosen)).sum();
    std::vector<at::Tensor> flat;
    for (const at::Tensor& one : torch::autograd::grad({loss}, view_.leaves)) {
      flat.push_back(one.flatten().to(at::kDouble));
    }
    return at::cat(flat);
  }

 private:
  static constexpr int kSeed = 7;

  trainer::NetworkAdapter Adapter(std::span<const std::size_t> chosen) const {
    trainer::NetworkAdapter adapter = view_.network;
    adapter.dropout = {dropout_, trainer::DrawsOf(examples_, chosen, kSeed, step_)};
    return adapter;
  }

  static std::vector<std::string> AllTargets(const model::Architecture& architecture,
                                             std::int64_t first_layer) {
    std::vector<std::string> targets;
    for (std::int64_t layer = first_layer; layer < architecture.num_layers; ++layer) {
      for (const model::LinearModule& module : model::LinearModules(architecture, layer)) {
        if (std::find(targets.begin(), targets.end(), module.target) == targets.end()) {
          targets.push_back(module.target);
        }
      }
    }
    return targets;
  }

  trainer::Example RandomExample(std::int64_t length) const {
    trainer::Example example;
    const at::Tensor ids = at::randint(architecture_.vocab_size, {length}, at::kLong);
    for (std::int64_t t = 0; t < length; ++t) {
      example.ids.push_back(static_cast<model::TokenId>(ids[t].item<std::int64_t>()));
      example.answer.push_back(t >= length / 3 ? 1 : 0);
    }
    return example;
  }

  // Adds B A to rows of `linear` that begin with the first of `targets`, then the next, … .
  void Merge(std::size_t layer, std::initializer_list<trainer::Target> targets,
             trainer::LinearWeights& linear) const {
    std::vector<at::Tensor> deltas;
    for (const trainer::Target target : targets) {
      const auto& path = *view_.network.layers[layer][static_cast<std::size_t>(target)];
      deltas.push_back(at::mm(path.b, path.a) * config_.scale());
    }
    linear.weight = linear.weight + at::cat(deltas);
  }

  trainer::NetworkWeights MergedWeights() const {
    using trainer::Target;
    trainer::NetworkWeights merged = weights_;
    for (auto layer = static_cast<std::size_t>(config_.first_layer); layer < merged.layers.size();
         ++layer) {
      trainer::LayerWeights& w = merged.layers[layer];
      if (w.grouped) Merge(layer, {Target::kQ, Target::kK, Target::kV}, w.grouped->qkv);
      if (w.latent) {
        const bool compressed = w.latent->query_up.weight.defined();
        Merge(layer, {compressed ? Target::kQA : Target::kQ}, w.latent->query);
        if (compressed) Merge(layer, {Target::kQB}, w.latent->query_up);
        Merge(layer, {Target::kKvA}, w.latent->kv_latent);
        Merge(layer, {Target::kKvB}, w.latent->kv_up);
      }
      Merge(layer, {Target::kO}, w.output);
      trainer::MlpWeights& mlp = w.dense ? *w.dense : *w.mixture->shared;
      Merge(layer, {Target::kGate, Target::kUp}, mlp.gate_up);
      Merge(layer, {Target::kDown}, mlp.down);
    }
    return merged;
  }

  model::Architecture architecture_;
  model::LoraConfig config_;
  trainer::NetworkWeights weights_;  // dense
  double dropout_ = 0;
  std::int64_t step_ = 0;
  std::unique_ptr<trainer::Network> network_;
  at::Tensor flat_;
  trainer::AdapterView view_;
  std::vector<trainer::Example> examples_;
};

}  // namespace cloister::dp::clipping
