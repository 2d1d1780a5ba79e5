#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cloister::trainer {

// As a recipe's optimizer.name: adamw, adamw_8bit, sgd.
enum class OptimizerKind { kAdamW, kAdamW8Bit, kSgd };

std::string_view OptimizerName(OptimizerKind kind);
// kInvalidArgument for another name.
base::Result<OptimizerKind> ParseOptimizer(std::string_view name);

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::kAdamW;
  double learning_rate = 0;
  double beta1 = 0.9;  // beta1, beta2, epsilon: of the AdamWs
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;  // of the AdamWs beside the gradient, of SGD within it
  double momentum = 0;      // kSgd
  bool nesterov = false;    // kSgd
  // Of the AdamWs: the noise's share is taken out of the second moments, which then count for no
  // less than this (adam_rule.h).
  std::optional<double> noise_bias_floor;

  friend bool operator==(const OptimizerOptions&, const OptimizerOptions&) = default;
};

// Arrays by name, where they stand.
using StateArrays = std::map<std::string, std::span<std::byte>>;

// Moves one flat vector of parameters along its gradients, in fp32. Results do not depend on the
// number of threads. Not thread-safe.
class Optimizer {
 public:
  using Options = OptimizerOptions;
  // Pieces of Update() begin at a multiple of it, and end at one or with the last parameter.
  static constexpr std::size_t kPieceUnit = 256;

  static std::unique_ptr<Optimizer> Make(const Options& options, std::size_t parameters);
  virtual ~Optimizer() = default;

  // A step: Begin, then Update for every parameter once, in pieces in any order.
  // `rate_share`: what the step takes of learning_rate, its decay included.
  // `noise_variance`: of the noise in each number of the mean gradient; 0 without privacy.
  void Begin(double rate_share = 1, double noise_variance = 0);

  struct Moved {
    bool any = false;    // a parameter has other bits than before
    bool finite = true;  // all of them, now
  };
  // Moves the parameters from number `first` on along their mean gradient, `scale` times
  // `gradient`. Both spans are of one length.
  virtual Moved Update(std::size_t first, std::span<float> parameters,
                       std::span<const float> gradient, double scale) = 0;

  std::int64_t steps() const { return steps_; }  // that were begun
  void SetSteps(std::int64_t steps) { steps_ = steps; }
  // All else that a checkpoint keeps, to be read, or written to go on from one. Its bytes are the
  // memory that the optimizer takes. The names are the same for any number of
  // parameters, none too, and every array but kNoiseVariance has as much for each kPieceUnit of
  // them, in their order: those of two optimizers of neighbouring ranges, one behind the other, are
  // those of one of both.
  virtual StateArrays State() = 0;
  static constexpr const char* kNoiseVariance = "noise_variance";

 protected:
  explicit Optimizer(const Options& options) : options_(options) {}
  const Options& options() const { return options_; }
  double rate() const { return rate_; }  // of the step

 private:
  virtual void NoteNoise(double /*variance*/) {}

  Options options_;
  std::int64_t steps_ = 0;
  double rate_ = 0;
};

// A vector's numbers as a StateArrays' bytes.
template <typename Values>
std::span<std::byte> StateBytes(Values& values) {
  return std::as_writable_bytes(std::span(values));
}

}  // namespace cloister::trainer
