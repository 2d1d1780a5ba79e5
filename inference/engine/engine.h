#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "kernels/cpu/tier.h"
#include "model/architecture.h"
#include "model/model_files.h"
#include "model/tokenizer.h"

namespace cloister::inference {

class KvCache;
class Network;

struct EngineOptions {
  int threads = 0;                         // 0: one a processor
  std::optional<kernels::cpu::Tier> tier;  // absent: the best that the processor has
  std::int64_t context = 0;                // positions to make room for; 0: all that the model has
  bool weights_as_f32 = false;             // dequantize every weight to fp32 when loading
};

// A model that reads token ids and gives logits, one sequence at a time. Weights stay in the mapped
// file. F32, F16 and BF16 weights compute in fp32; quantized weights meet activations in blocks of
// int8. The cache is fp32. Many tokens at once and one after another give the same bits, except
// where a dynamic rope has a sequence longer than its context: the tokens of a call are turned by
// the length that the sequence has after it, and those before it keep their rotation.
//
// Errors of all calls that run tokens: kOutOfRange for an id outside the vocabulary or a sequence
// longer than the context, before anything is computed; kDataLoss when the model gives logits that
// are not finite, naming the tensor that is to blame. Not thread-safe.
class Engine {
 public:
  static base::Result<std::unique_ptr<Engine>> Load(std::shared_ptr<const model::ModelFiles> files,
                                                    const EngineOptions& options);
  ~Engine();

  // Appends `ids` (at least one) and returns the logits after the last, [vocab]. The view is valid
  // until the next call.
  base::Result<std::span<const float>> Prefill(std::span<const model::TokenId> ids);
  base::Result<std::span<const float>> Decode(model::TokenId id) { return Prefill({&id, 1}); }

  // Appends `ids` and gives the logits after each of ids first, first + 1, … to `read`, in order. A
  // failure of `read` ends the call with its error.
  using LogitsReader = std::function<base::Status(std::int64_t index, std::span<const float>)>;
  base::Status Evaluate(std::span<const model::TokenId> ids, std::int64_t first,
                        const LogitsReader& read);

  // Forgets the sequence.
  void Reset();

  const model::Architecture& architecture() const { return architecture_; }
  std::int64_t position() const;  // tokens in the sequence
  std::int64_t context() const;   // the most it can hold
  kernels::cpu::Tier tier() const { return tier_; }
  int threads() const { return threads_; }

 private:
  Engine(const model::Architecture& architecture, kernels::cpu::Tier tier, int threads);
  base::Status Check(std::span<const model::TokenId> ids) const;

  model::Architecture architecture_;
  kernels::cpu::Tier tier_;
  int threads_;
  std::shared_ptr<const model::ModelFiles> files_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<KvCache> cache_;
  std::vector<float> logits_;
};

}  // namespace cloister::inference
