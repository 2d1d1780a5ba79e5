#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "dp/audit/canary_set.h"
#include "dp/clipping/clip_rule.h"
#include "dp/mechanism/clipped_sum.h"
#include "model/adapter.h"
#include "model/architecture.h"
#include "model/model_files.h"
#include "trainer/data/example.h"
#include "trainer/networks/compute_options.h"
#include "trainer/work_progress.h"

namespace cloister::trainer {

class Ranks;

// A network of which a LoRA adapter, or every weight, is to be trained: the trainer's face without
// LibTorch's types. What is trained is one flat fp32 vector: an adapter in model::AdapterLayout's
// order, or all weights in that of NetworkWeights::Parameters(), which is the network's own memory.
// LibTorch's exceptions become errors (kInternal). Not thread-safe, and the number of threads
// (SetThreads) must stay the same while it is used.
class TrainableModel {
 public:
  // With `lora` an adapter of zeros on frozen weights (kInvalidArgument as model::Validate);
  // without it all weights, as `files` has them. With options.shard_parameters and several `ranks`,
  // which must outlive it, each keeps its Ranks::Shard() of all weights alone: the rest of values()
  // does not count, gradients and losses are taken by all ranks together, with arguments of each
  // one's own, and an error of one is one of all or of the one alone.
  static base::Result<std::unique_ptr<TrainableModel>> Load(
      const model::ModelFiles& files, const std::optional<model::LoraConfig>& lora,
      const ComputeOptions& options = {}, Ranks* ranks = nullptr);

  // Whether this machine has the device that options.device names: errors of OpenDevice().
  static base::Status CheckDevice(const ComputeOptions& options);

  struct Size {
    std::int64_t parameters = 0;
    // Of clipping by layer: those that the adapter sits on; or all of the network's, and what
    // stands outside of them (embedding, final norm, head) as one more.
    std::int64_t layers = 0;
  };
  // What Load would make, known without reading a weight. `lora` must be valid.
  static Size SizeOf(const model::Architecture& architecture,
                     const std::optional<model::LoraConfig>& lora);

  virtual ~TrainableModel() = default;

  virtual std::int64_t parameters() const = 0;
  virtual const model::Architecture& architecture() const = 0;
  // The vector itself, to be read or changed where it stands.
  virtual std::span<float> values() = 0;
  // kInvalidArgument for another length or a value that is not finite.
  virtual base::Status SetParameters(std::span<const float> parameters) = 0;

  // Before the gradients of a step: what its passes draw at random, an adapter's dropout, is a
  // function of both numbers and of each example (trainer/networks/adapter_dropout.h).
  virtual void BeginStep(std::uint64_t seed, std::int64_t step) = 0;

  // Told after each micro-batch, or each example of a private step, how many examples are done;
  // false ends the work with kCancelled.
  using Progress = WorkProgress;

  struct ClipOptions {
    dp::clipping::ClipRule rule;  // with kPerGroup a norm for each of Size::layers
    dp::PrivacyUnit unit{};
    dp::Neighbours neighbours{};
    // See BookKeeping::Options.
    double count_weight = 0;
    bool normalized = false;
    double spacing = 0;
    // Units beside the examples, each with a gradient that is given.
    std::span<const dp::audit::Canary> canaries;
  };
  struct Clipped {
    dp::ClippedSum sum;
    // Mean over examples of the mean answer-token loss; NaN for none. Computed from private data
    // and not covered by ε: for the data holder's own eyes only.
    double private_loss = 0;
  };
  // Sum over units of each one's clipped gradient, which is the sum over its examples of the mean
  // answer-token loss's. Every unit has passes of its own, on one thread, as many at a time as
  // SetThreads said: what it contributes is, bit for bit, a function of the unit and the
  // parameters, whoever else was drawn (docs/design/0005-clipping.md).
  virtual base::Result<Clipped> ClippedGradient(std::span<const UnitExamples> units,
                                                const ClipOptions& options,
                                                const Progress& progress) = 0;

  // Memory of an earlier sum, for the next one.
  virtual void Reuse(dp::LatticeSum spare) = 0;

  struct Plain {
    // Sum over examples of their mean answer-token loss's gradient, or over all answer tokens of
    // theirs: added up in fp64 for an adapter, in fp32 and in one place for all weights. The
    // model's memory, until the next call.
    std::span<const float> gradient;
    // Where parameters are sharded: of the rank's shard alone, and summed over all ranks.
    // What makes a mean of it: the number of examples, with an answer or without, or of answer
    // tokens.
    double count = 0;
    double loss = 0;  // the mean over the examples with an answer, or over the answer tokens
  };
  // In micro-batches of so many padded tokens, whose sizes do not show but in the rounding.
  virtual base::Result<Plain> Gradient(std::span<const Example> examples, LossMean mean,
                                       std::int64_t micro_batch_tokens,
                                       const Progress& progress) = 0;

  // Mean over the examples with an answer of their mean answer-token loss; no gradient.
  virtual base::Result<double> Loss(std::span<const Example> examples,
                                    std::int64_t micro_batch_tokens, const Progress& progress) = 0;

  // What the network says of an example's answer tokens. An example without one has none of it.
  struct Score {
    double nll = 0;            // summed over them, nats
    std::int64_t tokens = 0;   // how many there are
    std::int64_t correct = 0;  // of how many the right one was the likeliest
  };
  // Of each example, in order; no gradient.
  virtual base::Result<std::vector<Score>> Scores(std::span<const Example> examples,
                                                  std::int64_t micro_batch_tokens,
                                                  const Progress& progress) = 0;

  // The likeliest token after `prompt`, which is not empty, again and again: at most
  // `max_new_tokens`, and none from the first of `ends` on.
  virtual base::Result<std::vector<model::TokenId>> Continue(std::span<const model::TokenId> prompt,
                                                             std::int64_t max_new_tokens,
                                                             std::span<const model::TokenId> ends,
                                                             const Progress& progress) = 0;

  // Into the empty folder `folder`: an adapter in PEFT's form that names `base` as its model, or a
  // whole model with the description and tokenizer of the one at `base`, its weights in F32. `base`
  // is where the model was loaded from. kDataLoss for a weight that is not finite.
  virtual base::Status Save(const std::filesystem::path& folder,
                            const std::filesystem::path& base) const = 0;
};

// Threads of LibTorch's operators, for the whole process.
void SetThreads(std::int64_t threads);

}  // namespace cloister::trainer
