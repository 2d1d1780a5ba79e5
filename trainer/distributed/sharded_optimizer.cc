#include "trainer/distributed/sharded_optimizer.h"

#include <algorithm>
#include <utility>

namespace cloister::trainer {
namespace {

constexpr std::size_t kPiece = std::size_t{1} << 20;  // numbers of a gradient that are read at once

}  // namespace

ShardedOptimizer::ShardedOptimizer(const AdamW::Options& options, std::size_t parameters,
                                   Ranks& ranks)
    : options_(options),
      parameters_(parameters),
      ranks_(ranks),
      shard_(ranks.Shard(parameters)),
      own_(options, shard_.size()) {}

base::Result<AdamW::Moved> ShardedOptimizer::StepAlongSum(double rate_share,
                                                          std::span<float> parameters,
                                                          std::span<const float> gradient,
                                                          double scale) {
  own_.Begin(rate_share);
  if (ranks_.size() == 1) return own_.Update(0, parameters, gradient, scale);
  gradient_.resize(shard_.size());
  CLOISTER_RETURN_IF_ERROR(ranks_.SumShards(gradient, gradient_));
  return Together(own_.Update(0, Shard(parameters), gradient_, scale), parameters);
}

base::Result<AdamW::Moved> ShardedOptimizer::StepAlongFirst(double rate_share,
                                                            std::span<float> parameters,
                                                            const Ranks::Reader& gradient) {
  own_.Begin(rate_share);
  if (ranks_.size() > 1) {
    gradient_.resize(shard_.size());
    CLOISTER_RETURN_IF_ERROR(ranks_.ScatterShards(parameters_, gradient, gradient_));
    return Together(own_.Update(0, Shard(parameters), gradient_, 1), parameters);
  }
  AdamW::Moved moved;
  for (std::size_t first = 0; first < parameters_; first += kPiece) {
    gradient_.resize(std::min(kPiece, parameters_ - first));
    gradient(first, gradient_);
    const AdamW::Moved piece =
        own_.Update(first, parameters.subspan(first, gradient_.size()), gradient_, 1);
    moved = {moved.any || piece.any, moved.finite && piece.finite};
  }
  return moved;
}

base::Result<AdamW::Moved> ShardedOptimizer::Together(AdamW::Moved own,
                                                      std::span<float> parameters) {
  CLOISTER_RETURN_IF_ERROR(ranks_.GatherShards(parameters));
  const std::int64_t bits = (own.any ? 1 : 0) + (own.finite ? 0 : 2);
  CLOISTER_ASSIGN_OR_RETURN(const auto all, ranks_.GatherAll(std::span(&bits, 1)));
  AdamW::Moved moved;
  for (const std::int64_t one : all) {
    moved = {moved.any || (one & 1) != 0, moved.finite && (one & 2) == 0};
  }
  return moved;
}

base::Status ShardedOptimizer::WithWhole(
    const std::function<base::Status(const AdamW& whole)>& use) {
  if (ranks_.size() == 1) return use(own_);
  AdamW whole(options_, ranks_.first() ? parameters_ : 0);
  whole.SetSteps(own_.steps());
  const auto gather = [this](std::span<const float> own, std::span<float> all) {
    return ranks_.GatherOnFirst(std::as_bytes(own), std::as_writable_bytes(all));
  };
  CLOISTER_RETURN_IF_ERROR(gather(own_.first_moments(), whole.first_moments()));
  CLOISTER_RETURN_IF_ERROR(gather(own_.second_moments(), whole.second_moments()));
  return ranks_.first() ? use(whole) : base::Status();
}

base::Status ShardedOptimizer::FillWhole(const std::function<base::Status(AdamW& whole)>& fill) {
  if (ranks_.size() == 1) return fill(own_);
  AdamW whole(options_, ranks_.first() ? parameters_ : 0);
  CLOISTER_RETURN_IF_ERROR(ranks_.Agree(ranks_.first() ? fill(whole) : base::Status()));
  const auto scatter = [this](std::span<const float> all, std::span<float> own) {
    return ranks_.ScatterFromFirst(std::as_bytes(all), std::as_writable_bytes(own));
  };
  CLOISTER_RETURN_IF_ERROR(scatter(whole.first_moments(), own_.first_moments()));
  CLOISTER_RETURN_IF_ERROR(scatter(whole.second_moments(), own_.second_moments()));
  std::int64_t steps = whole.steps();
  CLOISTER_RETURN_IF_ERROR(ranks_.Broadcast(std::as_writable_bytes(std::span(&steps, 1))));
  own_.SetSteps(steps);
  return {};
}

}  // namespace cloister::trainer
