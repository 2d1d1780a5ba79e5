#include "trainer/lora_model.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <cmath>
#include <exception>
#include <limits>
#include <string>
#include <utility>

#include "dp/clipping/book_keeping.h"
#include "trainer/audit/canary_gradient.h"
#include "trainer/networks/adapter_view.h"
#include "trainer/networks/batch.h"

namespace cloister::trainer {
namespace {

// Runs `body` and turns LibTorch's exceptions, which are std::exceptions, into an Error that says
// what was being done.
template <typename Body>
auto Guarded(const char* what, const Body& body) -> decltype(body()) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return base::Fail(base::Code::kInternal, std::string("out of memory while ") + what +
                                                 ": lower max_tokens or micro_batch_tokens");
  } catch (const std::exception& error) {
    const std::string text = error.what();
    return base::Fail(base::Code::kInternal,
                      "LibTorch failed while " + std::string(what) + " (" +
                          text.substr(0, text.find('\n')) +
                          "): lower max_tokens or micro_batch_tokens if memory ran out, else try "
                          "a fresh copy of the model");
  }
}

// Indices of the examples that have something to learn from, in micro-batches.
std::vector<std::vector<std::size_t>> Groups(std::span<const Example> examples,
                                             std::int64_t micro_batch_tokens) {
  std::vector<std::vector<std::size_t>> groups = MicroBatches(examples, micro_batch_tokens);
  for (auto& group : groups) {
    std::erase_if(group, [&](std::size_t i) { return examples[i].answer_tokens() == 0; });
  }
  std::erase_if(groups, [](const auto& group) { return group.empty(); });
  return groups;
}

tl::unexpected<base::Error> Stopped() {
  return base::Fail(base::Code::kCancelled, "stopped: start again");
}

// Mean of losses seen so far, fp64.
struct MeanLoss {
  double sum = 0;
  std::int64_t count = 0;
  void Add(const at::Tensor& losses) {
    sum += losses.sum(at::kDouble).item<double>();
    count += losses.numel();
  }
  double value() const {
    return count == 0 ? std::numeric_limits<double>::quiet_NaN() : sum / static_cast<double>(count);
  }
};

class TorchLoraModel : public LoraModel {
 public:
  TorchLoraModel(Network network, const model::LoraConfig& config)
      : network_(std::move(network)),
        flat_(at::zeros({model::AdapterSize(model::AdapterLayout(config, network_.architecture()))},
                        at::TensorOptions(at::kFloat))),
        view_(MakeAdapterView(config, network_.architecture(), flat_)) {}

  std::int64_t parameters() const override { return flat_.numel(); }
  const model::Architecture& architecture() const override { return network_.architecture(); }

  base::Status SetParameters(std::span<const float> parameters) override {
    if (static_cast<std::int64_t>(parameters.size()) != flat_.numel()) {
      return base::Fail(base::Code::kInvalidArgument,
                        "adapter has " + std::to_string(parameters.size()) +
                            " parameters and not " + std::to_string(flat_.numel()) +
                            ": use one of the same LoRA settings");
    }
    for (const float value : parameters) {
      if (!std::isfinite(value)) {
        return base::Fail(base::Code::kInvalidArgument,
                          "adapter has a parameter that is not finite: lower the learning rate");
      }
    }
    std::copy(parameters.begin(), parameters.end(), flat_.mutable_data_ptr<float>());
    return {};
  }

  base::Result<Clipped> ClippedGradient(std::span<const UnitExamples> units,
                                        const ClipOptions& options,
                                        const Progress& progress) override {
    return Guarded("clipping gradients", [&]() -> base::Result<Clipped> {
      CLOISTER_ASSIGN_OR_RETURN(dp::clipping::BookKeeping engine, MakeEngine(options));
      NetworkAdapter adapter = view_.network;
      adapter.observer = &engine;
      MeanLoss loss;
      for (const UnitExamples& unit : units) {
        bool observed = false;
        for (const Example& example : unit) {
          if (example.answer_tokens() == 0) continue;
          if (std::exchange(observed, true)) engine.EndPart();
          const at::Tensor losses =
              BatchLoss(network_, &adapter, MakeBatch({&example, 1}, std::array{std::size_t{0}}));
          torch::autograd::backward({losses.sum()}, {});
          loss.Add(losses.detach());
          if (progress && !progress(loss.count)) return Stopped();
        }
        if (observed) CLOISTER_RETURN_IF_ERROR(engine.EndUnit());
      }
      for (const dp::audit::Canary& canary : options.canaries) {
        ObserveCanary(canary, view_.shapes, engine);
        CLOISTER_RETURN_IF_ERROR(engine.EndUnit());
      }
      return Clipped{std::move(engine).Finish(), loss.value()};
    });
  }

  base::Result<Plain> Gradient(std::span<const Example> examples, std::int64_t micro_batch_tokens,
                               const Progress& progress) override {
    return Guarded("taking gradients", [&]() -> base::Result<Plain> {
      at::Tensor sum = at::zeros({parameters()}, at::TensorOptions(at::kDouble));
      MeanLoss loss;
      for (const auto& group : Groups(examples, micro_batch_tokens)) {
        const at::Tensor losses = BatchLoss(network_, &view_.network, MakeBatch(examples, group));
        const auto gradients = torch::autograd::grad({losses.sum()}, view_.leaves);
        std::int64_t offset = 0;
        for (const at::Tensor& gradient : gradients) {
          sum.narrow(0, offset, gradient.numel()).add_(gradient.flatten());
          offset += gradient.numel();
        }
        loss.Add(losses.detach());
        if (progress && !progress(loss.count)) return Stopped();
      }
      const auto* data = sum.const_data_ptr<double>();
      return Plain{{data, data + sum.numel()}, loss.value()};
    });
  }

  base::Result<double> Loss(std::span<const Example> examples, std::int64_t micro_batch_tokens,
                            const Progress& progress) override {
    return Guarded("taking a held-out loss", [&]() -> base::Result<double> {
      const at::NoGradGuard no_grad;
      MeanLoss loss;
      for (const auto& group : Groups(examples, micro_batch_tokens)) {
        loss.Add(BatchLoss(network_, &view_.network, MakeBatch(examples, group)));
        if (progress && !progress(loss.count)) return Stopped();
      }
      return loss.value();
    });
  }

 private:
  base::Result<dp::clipping::BookKeeping> MakeEngine(const ClipOptions& options) const {
    return dp::clipping::BookKeeping::Create(view_.shapes, {.rule = options.rule,
                                                            .unit = options.unit,
                                                            .neighbours = options.neighbours,
                                                            .count_weight = options.count_weight,
                                                            .normalized = options.normalized});
  }

  Network network_;
  at::Tensor flat_;  // the adapter; view_'s matrices share its memory
  AdapterView view_;
};

}  // namespace

base::Result<std::unique_ptr<LoraModel>> LoraModel::Load(const model::ModelFiles& files,
                                                         const model::LoraConfig& config,
                                                         const ComputeOptions& options) {
  using Loaded = base::Result<std::unique_ptr<LoraModel>>;
  return Guarded("loading the model", [&]() -> Loaded {
    CLOISTER_ASSIGN_OR_RETURN(const model::Architecture architecture, files.architecture());
    CLOISTER_RETURN_IF_ERROR(model::Validate(config, architecture));
    CLOISTER_ASSIGN_OR_RETURN(NetworkWeights weights,
                              LoadWeights(files, architecture, options.precision));
    return std::unique_ptr<LoraModel>(std::make_unique<TorchLoraModel>(
        Network(architecture, std::move(weights), options), config));
  });
}

void SetThreads(std::int64_t threads) { at::set_num_threads(static_cast<int>(threads)); }

}  // namespace cloister::trainer
