#include "trainer/optimisation/optimizer.h"

#include <array>

#include "trainer/optimisation/adamw.h"
#include "trainer/optimisation/adamw_8bit.h"
#include "trainer/optimisation/sgd.h"

namespace cloister::trainer {
namespace {

constexpr std::array<std::string_view, 3> kNames = {"adamw", "adamw_8bit", "sgd"};  // as the enum

}  // namespace

std::string_view OptimizerName(OptimizerKind kind) {
  return kNames.at(static_cast<std::size_t>(kind));
}

base::Result<OptimizerKind> ParseOptimizer(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<OptimizerKind>(i);
  }
  return base::Fail(base::Code::kInvalidArgument,
                    "is '" + std::string(name) + "': write adamw, adamw_8bit or sgd");
}

std::unique_ptr<Optimizer> Optimizer::Make(const Options& options, std::size_t parameters) {
  switch (options.kind) {
    case OptimizerKind::kAdamW8Bit:
      return std::make_unique<AdamW8Bit>(options, parameters);
    case OptimizerKind::kSgd:
      return std::make_unique<Sgd>(options, parameters);
    case OptimizerKind::kAdamW:
      break;
  }
  return std::make_unique<AdamW>(options, parameters);
}

void Optimizer::Begin(double rate_share, double noise_variance) {
  ++steps_;
  rate_ = options_.learning_rate * rate_share;
  NoteNoise(noise_variance);
}

}  // namespace cloister::trainer
