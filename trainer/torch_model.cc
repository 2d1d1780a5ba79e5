#include "trainer/torch_model.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <utility>

#include "dp/clipping/book_keeping.h"
#include "dp/clipping/unit_clipper.h"
#include "trainer/audit/canary_gradient.h"
#include "trainer/devices.h"
#include "trainer/evaluation/scoring.h"
#include "trainer/guarded.h"
#include "trainer/networks/batch.h"
#include "trainer/networks/gradient_sum.h"
#include "trainer/networks/weights.h"
#include "trainer/unit_workers.h"

namespace cloister::trainer {
namespace {

// How many answer tokens each of them has, fp32.
at::Tensor AnswerCounts(std::span<const Example> examples, const std::vector<std::size_t>& group) {
  std::vector<float> counts;
  for (const std::size_t i : group) {
    counts.push_back(static_cast<float>(examples[i].answer_tokens()));
  }
  return at::tensor(counts, at::TensorOptions(at::kFloat));
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

}  // namespace

TorchModel::TorchModel(Network network, Flat flat, std::vector<dp::clipping::ParameterShape> shapes,
                       at::ScalarType sum_type)
    : network_(std::move(network)),
      flat_(std::move(flat.here)),
      there_(std::move(flat.there)),
      shapes_(std::move(shapes)),
      sum_type_(sum_type) {}

void TorchModel::Shard(Ranks& ranks, std::shared_ptr<base::PagedMemory> memory,
                       ShardedParameters::Parts parts) {
  shards_ = std::make_unique<ShardedParameters>(
      ranks, std::move(memory), std::move(parts),
      [this](std::int64_t layer, bool here) { network_.RoundLayer(layer, here); });
  network_.SetGate(*shards_);
}

template <typename Value>
base::Result<Value> TorchModel::WithWeights(const char* what,
                                            const ShardedParameters::Passes& passes,
                                            const std::function<base::Result<Value>()>& body) {
  if (!shards_) {
    return Guarded(what, [&] {
      PlaceWeights();
      return body();
    });
  }
  base::Result<Value> result = StoppedWork();
  CLOISTER_RETURN_IF_ERROR(shards_->Run(passes, [&]() -> base::Status {
    result = Guarded(what, body);
    return result ? base::Status() : tl::unexpected(result.error());
  }));
  return result;
}

void TorchModel::PlaceWeights() {
  const at::NoGradGuard no_grad;
  if (!there_.is_same(flat_)) there_.copy_(flat_);
  network_.RoundWeights();
}

std::int64_t TorchModel::Threads() const {
  return network_.device().is_cpu() ? at::get_num_threads() : 1;
}

std::span<float> TorchModel::values() {
  return {flat_.mutable_data_ptr<float>(), static_cast<std::size_t>(flat_.numel())};
}

std::span<const float> TorchModel::values() const {
  return {flat_.const_data_ptr<float>(), static_cast<std::size_t>(flat_.numel())};
}

base::Status TorchModel::SetParameters(std::span<const float> parameters) {
  if (static_cast<std::int64_t>(parameters.size()) != flat_.numel()) {
    return base::Fail(base::Code::kInvalidArgument,
                      std::to_string(parameters.size()) + " parameters were given and not " +
                          std::to_string(flat_.numel()) + ": use those of the same settings");
  }
  for (const float value : parameters) {
    if (!std::isfinite(value)) {
      return base::Fail(base::Code::kInvalidArgument,
                        "a parameter is not finite: lower the learning rate");
    }
  }
  std::copy(parameters.begin(), parameters.end(), values().begin());
  return {};
}

at::Tensor TorchModel::Losses(NetworkAdapter& watched, std::span<const Example> examples,
                              std::span<const std::size_t> chosen, bool packed) const {
  if (watched.dropout) watched.dropout.draws = DrawsOf(examples, chosen, seed_, step_);
  return BatchLoss(network_, &watched, MakeBatch(examples, chosen, packed));
}

base::Result<TrainableModel::Clipped> TorchModel::ClippedGradient(
    std::span<const UnitExamples> units, const ClipOptions& options, const Progress& progress) {
  std::optional<UnitLanes> lanes;
  ShardedParameters::Passes passes{.kind = ShardedParameters::Kind::kObserved};
  if (shards_) {
    lanes = Lanes(units);
    passes.own = lanes->passes;
    passes.lanes = std::ssize(lanes->units);
  }
  return WithWeights<Clipped>("clipping gradients", passes, [&]() -> base::Result<Clipped> {
    CLOISTER_ASSIGN_OR_RETURN(
        dp::clipping::BookKeeping engine,
        dp::clipping::BookKeeping::Create(shapes_,
                                          {.rule = options.rule,
                                           .unit = options.unit,
                                           .neighbours = options.neighbours,
                                           .count_weight = options.count_weight,
                                           .normalized = options.normalized,
                                           .spacing = options.spacing},
                                          std::exchange(spare_, dp::LatticeSum(0))));
    const ObservedLoss loss = [&](const UnitExamples& unit, std::span<const std::size_t> chosen,
                                  dp::clipping::GradientObserver& told) {
      NetworkAdapter trained = Watched(told);
      return Losses(trained, unit, chosen, /*packed=*/false);
    };
    CLOISTER_ASSIGN_OR_RETURN(const double mean, AddUnits(units, Threads(), gate_, loss, progress,
                                                          engine, lanes ? &*lanes : nullptr));
    dp::clipping::UnitClipper clipper(engine);
    for (const dp::audit::Canary& canary : options.canaries) {
      ObserveCanary(canary, shapes_, clipper);
      CLOISTER_RETURN_IF_ERROR(clipper.EndUnit());
    }
    return Clipped{std::move(engine).Finish(), mean};
  });
}

UnitLanes TorchModel::Lanes(std::span<const UnitExamples> units) {
  std::int64_t longest = 0;
  for (const UnitExamples& unit : units) longest = std::max(longest, PassTokens(unit));
  UnitLanes lanes = DealUnits(units, gate_.SideBySide(Threads(), longest));
  lanes.leave = [this](base::Status own) { shards_->Leave(std::move(own)); };
  return lanes;
}

// Where it is added up: zeros.
const at::Tensor& TorchModel::EmptySum() {
  if (!sum_.defined() && shards_) {
    sum_ = at::from_blob(shards_->sums().data(), {parameters()}, at::TensorOptions(at::kFloat));
  } else if (!sum_.defined()) {
    sum_ = at::empty({parameters()}, at::TensorOptions(sum_type_).device(network_.device()));
  }
  if (!shards_) sum_.zero_();  // else they are
  return sum_;
}

base::Result<TrainableModel::Plain> TorchModel::Gradient(std::span<const Example> examples,
                                                         LossMean mean,
                                                         std::int64_t micro_batch_tokens,
                                                         const Progress& progress) {
  const bool packed = network_.options().packing;
  const auto groups = AnsweredMicroBatches(examples, micro_batch_tokens, packed);
  const ShardedParameters::Passes passes{ShardedParameters::Kind::kSummed, std::ssize(groups)};
  const bool by_token = mean == LossMean::kToken;
  MeanLoss loss;
  const auto all = WithWeights<bool>("taking gradients", passes, [&]() -> base::Result<bool> {
    GradientSum observer(shapes_, EmptySum());
    NetworkAdapter trained = Watched(observer);
    for (const auto& group : groups) {
      at::Tensor losses = Losses(trained, examples, group, packed);
      if (by_token) losses = losses * AnswerCounts(examples, group).to(losses.device());
      torch::autograd::backward({losses.sum()}, {});
      loss.Add(losses.detach());
      if (progress && !progress(loss.count)) return StoppedWork();
    }
    if (!shards_) gradient_ = sum_.to(at::kCPU, at::kFloat);
    return true;
  });
  CLOISTER_RETURN_IF_ERROR(all ? base::Status() : tl::unexpected(all.error()));
  const std::int64_t tokens = AnswerTokensOf(examples);
  Plain plain{.gradient = {},
              .count = static_cast<double>(by_token ? tokens : std::ssize(examples)),
              .loss = by_token ? loss.sum / static_cast<double>(tokens) : loss.value()};
  plain.gradient = shards_ ? shards_->gradient()
                           : std::span(gradient_.const_data_ptr<float>(),
                                       static_cast<std::size_t>(parameters()));
  return plain;
}

base::Result<double> TorchModel::Loss(std::span<const Example> examples,
                                      std::int64_t micro_batch_tokens, const Progress& progress) {
  const bool packed = network_.options().packing;
  const auto groups = AnsweredMicroBatches(examples, micro_batch_tokens, packed);
  const ShardedParameters::Passes passes{ShardedParameters::Kind::kForward, std::ssize(groups)};
  return WithWeights<double>("taking a held-out loss", passes, [&]() -> base::Result<double> {
    const at::NoGradGuard no_grad;
    MeanLoss loss;
    for (const auto& group : groups) {
      loss.Add(BatchLoss(network_, Unwatched(), MakeBatch(examples, group, packed)));
      if (progress && !progress(loss.count)) return StoppedWork();
    }
    return loss.value();
  });
}

base::Result<std::vector<TrainableModel::Score>> TorchModel::Scores(
    std::span<const Example> examples, std::int64_t micro_batch_tokens, const Progress& progress) {
  return Guarded("scoring answers", [&]() -> base::Result<std::vector<Score>> {
    PlaceWeights();
    std::vector<Score> scores(examples.size());
    std::int64_t done = 0;
    for (const auto& group : AnsweredMicroBatches(examples, micro_batch_tokens, /*packed=*/false)) {
      ScoreAnswers(network_, Unwatched(), examples, group, scores);
      done += static_cast<std::int64_t>(group.size());
      if (progress && !progress(done)) return StoppedWork();
    }
    return scores;
  });
}

base::Result<std::vector<model::TokenId>> TorchModel::Continue(
    std::span<const model::TokenId> prompt, std::int64_t max_new_tokens,
    std::span<const model::TokenId> ends, const Progress& progress) {
  return Guarded("generating an answer", [&]() -> base::Result<std::vector<model::TokenId>> {
    PlaceWeights();
    return GreedyTokens(network_, Unwatched(), prompt, max_new_tokens, ends, progress);
  });
}

base::Result<std::unique_ptr<TrainableModel>> TrainableModel::Load(
    const model::ModelFiles& files, const std::optional<model::LoraConfig>& lora,
    const ComputeOptions& asked, Ranks* ranks) {
  using Loaded = base::Result<std::unique_ptr<TrainableModel>>;
  return Guarded("loading the model", [&]() -> Loaded {
    CLOISTER_ASSIGN_OR_RETURN(const at::Device device,
                              OpenDevice(asked.device, ranks ? ranks->local_rank() : 0));
    CLOISTER_ASSIGN_OR_RETURN(const model::Architecture architecture, files.architecture());
    ComputeOptions options = asked;
    options.shard_parameters = options.shard_parameters && !lora && ranks && ranks->size() > 1;
    if (options.shard_parameters) {
      options.activation_checkpointing = true;
      const Range own = ranks->Shard(static_cast<std::size_t>(ParameterCount(architecture)));
      CLOISTER_ASSIGN_OR_RETURN(
          FlatWeights weights,
          LoadFlatWeights(files, architecture, KeptWeights{own.begin, own.end}));
      return MakeFullModel(architecture, std::move(weights), device, options, ranks);
    }
    if (!lora) {
      CLOISTER_ASSIGN_OR_RETURN(FlatWeights weights, LoadFlatWeights(files, architecture));
      return MakeFullModel(architecture, std::move(weights), device, options, nullptr);
    }
    CLOISTER_RETURN_IF_ERROR(model::Validate(*lora, architecture));
    CLOISTER_ASSIGN_OR_RETURN(NetworkWeights weights,
                              LoadWeights(files, architecture, options.precision, options.base));
    if (!device.is_cpu()) weights.MoveTo(device);
    return MakeLoraModel(Network(architecture, std::move(weights), options), *lora);
  });
}

base::Status TrainableModel::CheckDevice(const ComputeOptions& options) {
  CLOISTER_RETURN_IF_ERROR(OpenDevice(options.device));
  return {};
}

TrainableModel::Size TrainableModel::SizeOf(const model::Architecture& architecture,
                                            const std::optional<model::LoraConfig>& lora) {
  if (!lora) return {ParameterCount(architecture), architecture.num_layers + 1};
  const auto layout = model::AdapterLayout(*lora, architecture);
  std::set<std::int64_t> layers;
  for (const model::AdapterTensor& tensor : layout) layers.insert(tensor.layer);
  return {model::AdapterSize(layout), static_cast<std::int64_t>(layers.size())};
}

void SetThreads(std::int64_t threads) { at::set_num_threads(static_cast<int>(threads)); }

}  // namespace cloister::trainer
