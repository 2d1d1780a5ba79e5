#pragma once

#include <cstdint>
#include <functional>
#include <memory>
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

namespace cloister::trainer {

// A frozen network with a LoRA adapter to be trained: the trainer's face without LibTorch's types.
// The adapter's parameters are one flat fp32 vector in model::AdapterLayout's order. LibTorch's
// exceptions become errors (kInternal). Not thread-safe, and the number of threads (SetThreads)
// must stay the same while it is used.
class LoraModel {
 public:
  static base::Result<std::unique_ptr<LoraModel>> Load(const model::ModelFiles& files,
                                                       const model::LoraConfig& config,
                                                       const ComputeOptions& options = {});
  virtual ~LoraModel() = default;

  virtual std::int64_t parameters() const = 0;
  virtual const model::Architecture& architecture() const = 0;
  // kInvalidArgument for another length or a value that is not finite.
  virtual base::Status SetParameters(std::span<const float> parameters) = 0;

  // Told after each micro-batch how many examples are done; false ends the work with kCancelled.
  using Progress = std::function<bool(std::int64_t examples)>;

  struct ClipOptions {
    dp::clipping::ClipRule rule;  // with kPerGroup a norm a layer that the adapter sits on
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
  // answer-token loss's. Every example has a pass of its own, on one thread, as many at a time as
  // SetThreads said: what its unit contributes is, bit for bit, a function of the unit and the
  // parameters, whoever else was drawn (docs/design/0005-clipping.md).
  virtual base::Result<Clipped> ClippedGradient(std::span<const UnitExamples> units,
                                                const ClipOptions& options,
                                                const Progress& progress) = 0;

  struct Plain {
    std::vector<double> gradient;  // sum over examples of their mean answer-token loss's gradient
    double loss = 0;               // mean over examples
  };
  virtual base::Result<Plain> Gradient(std::span<const Example> examples,
                                       std::int64_t micro_batch_tokens,
                                       const Progress& progress) = 0;

  // Mean over the examples with an answer of their mean answer-token loss; no gradient.
  virtual base::Result<double> Loss(std::span<const Example> examples,
                                    std::int64_t micro_batch_tokens, const Progress& progress) = 0;
};

// Threads of LibTorch's operators, for the whole process.
void SetThreads(std::int64_t threads);

}  // namespace cloister::trainer
