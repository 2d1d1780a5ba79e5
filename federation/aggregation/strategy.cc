#include "federation/aggregation/strategy.h"

#include <bit>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>

namespace cloister::federation::aggregation {
namespace {

constexpr std::uint64_t kStateTag = 0x31444753'64656643;  // "CfedSGD1"

base::Status CheckOptions(const AdamWOptions& options) {
  const auto refuse = [](const std::string& what) {
    return base::Fail(base::Code::kInvalidArgument, "AdamW: " + what);
  };
  if (!std::isfinite(options.learning_rate) || options.learning_rate <= 0) {
    return refuse("learning_rate must be positive and finite");
  }
  if (!(options.beta1 >= 0 && options.beta1 < 1)) return refuse("beta1 must lie in [0, 1)");
  if (!(options.beta2 >= 0 && options.beta2 < 1)) return refuse("beta2 must lie in [0, 1)");
  if (!std::isfinite(options.epsilon) || options.epsilon <= 0) {
    return refuse("epsilon must be positive and finite");
  }
  if (!std::isfinite(options.weight_decay) || options.weight_decay < 0) {
    return refuse("weight_decay must be finite and not negative");
  }
  return {};
}

void PutU64(std::vector<std::uint8_t>& bytes, std::uint64_t value) {
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

std::uint64_t GetU64(std::span<const std::uint8_t> bytes, std::size_t index) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    value |= static_cast<std::uint64_t>(bytes[8 * index + i]) << (8 * i);
  }
  return value;
}

}  // namespace

base::Result<std::vector<double>> MeanGradient(std::span<const std::int64_t> sum, double spacing,
                                               double nominal_units) {
  if (!std::isfinite(spacing) || spacing <= 0 || !std::isfinite(nominal_units) ||
      nominal_units <= 0) {
    return base::Fail(base::Code::kInvalidArgument,
                      "mean gradient: spacing and nominal units must be positive and finite");
  }
  std::vector<double> mean(sum.size());
  for (std::size_t i = 0; i < sum.size(); ++i) {
    mean[i] = static_cast<double>(sum[i]) * spacing / nominal_units;
  }
  return mean;
}

base::Result<FedSgd> FedSgd::Create(const AdamWOptions& options, std::size_t size) {
  CLOISTER_RETURN_IF_ERROR(CheckOptions(options));
  return FedSgd(options, size);
}

base::Result<std::vector<float>> FedSgd::Step(std::span<const float> parameters,
                                              std::span<const double> gradient) {
  const std::size_t size = first_moment_.size();
  if (parameters.size() != size || gradient.size() != size) {
    return base::Fail(base::Code::kInvalidArgument,
                      "AdamW: " + std::to_string(size) + " parameters and gradients are expected");
  }
  const double step = static_cast<double>(steps_ + 1);
  const double correction1 = 1 - std::pow(options_.beta1, step);
  const double correction2 = 1 - std::pow(options_.beta2, step);
  std::vector<double> first(size);
  std::vector<double> second(size);
  std::vector<float> updated(size);
  for (std::size_t i = 0; i < size; ++i) {
    const double g = gradient[i];
    first[i] = options_.beta1 * first_moment_[i] + (1 - options_.beta1) * g;
    second[i] = options_.beta2 * second_moment_[i] + (1 - options_.beta2) * g * g;
    const double direction =
        first[i] / correction1 / (std::sqrt(second[i] / correction2) + options_.epsilon);
    const double decayed = parameters[i] * (1 - options_.learning_rate * options_.weight_decay);
    updated[i] = static_cast<float>(decayed - options_.learning_rate * direction);
    if (!std::isfinite(updated[i]) || !std::isfinite(second[i])) {
      return base::Fail(base::Code::kOutOfRange,
                        "AdamW: coordinate " + std::to_string(i) +
                            " is not finite after the step: lower the learning rate, or look for "
                            "a site that sends wild values");
    }
  }
  first_moment_ = std::move(first);
  second_moment_ = std::move(second);
  ++steps_;
  return updated;
}

std::vector<std::uint8_t> FedSgd::Serialize() const {
  std::vector<std::uint8_t> bytes;
  bytes.reserve(8 * (3 + 2 * first_moment_.size()));
  PutU64(bytes, kStateTag);
  PutU64(bytes, steps_);
  PutU64(bytes, first_moment_.size());
  for (const double value : first_moment_) PutU64(bytes, std::bit_cast<std::uint64_t>(value));
  for (const double value : second_moment_) PutU64(bytes, std::bit_cast<std::uint64_t>(value));
  return bytes;
}

base::Result<FedSgd> FedSgd::Deserialize(const AdamWOptions& options, std::size_t size,
                                         std::span<const std::uint8_t> bytes) {
  CLOISTER_RETURN_IF_ERROR(CheckOptions(options));
  const auto refuse = [](const std::string& what) {
    return base::Fail(base::Code::kDataLoss,
                      "AdamW state: " + what + ": start from the state of an earlier round");
  };
  if (size > (SIZE_MAX / 8 - 3) / 2 || bytes.size() != 8 * (3 + 2 * size)) {
    return refuse("wrong size for " + std::to_string(size) + " parameters");
  }
  if (GetU64(bytes, 0) != kStateTag || GetU64(bytes, 2) != size) return refuse("malformed header");
  FedSgd strategy(options, size);
  strategy.steps_ = GetU64(bytes, 1);
  for (std::size_t i = 0; i < size; ++i) {
    strategy.first_moment_[i] = std::bit_cast<double>(GetU64(bytes, 3 + i));
    strategy.second_moment_[i] = std::bit_cast<double>(GetU64(bytes, 3 + size + i));
    if (!std::isfinite(strategy.first_moment_[i]) || !std::isfinite(strategy.second_moment_[i]) ||
        strategy.second_moment_[i] < 0) {
      return refuse("a moment that cannot be, at " + std::to_string(i));
    }
  }
  return strategy;
}

}  // namespace cloister::federation::aggregation
