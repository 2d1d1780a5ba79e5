#include "trainer/optimisation/adamw_8bit.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "trainer/optimisation/byte_map.h"

namespace cloister::trainer {
namespace {

constexpr std::size_t kBlock = Optimizer::kPieceUnit;

std::size_t Blocks(std::size_t parameters) { return (parameters + kBlock - 1) / kBlock; }

}  // namespace

AdamW8Bit::AdamW8Bit(const Options& options, std::size_t parameters)
    : Optimizer(options),
      rule_(options),
      first_(parameters),
      second_(parameters),
      first_scales_(Blocks(parameters)),
      second_scales_(Blocks(parameters)) {}

Optimizer::Moved AdamW8Bit::Update(std::size_t first, std::span<float> parameters,
                                   std::span<const float> gradient, double scale) {
  CLOISTER_CHECK(steps() > 0 && parameters.size() == gradient.size());
  CLOISTER_CHECK(first <= first_.size() && parameters.size() <= first_.size() - first);
  const std::size_t end = first + parameters.size();
  CLOISTER_CHECK(first % kBlock == 0 && (end % kBlock == 0 || end == first_.size()));
  const AdamRates rates = rule_.Rates(steps(), rate(), scale);
  const ByteMap& of_first = ByteMap::Signed();
  const ByteMap& of_second = ByteMap::Unsigned();
  const auto move = [&](std::size_t block) {
    const std::size_t at = block * kBlock;
    const auto count = static_cast<std::int64_t>(std::min(kBlock, end - at));
    alignas(64) std::array<float, kBlock> m, v;
    of_first.Read(first_.data() + at, count, first_scales_[block], m.data());
    of_second.Read(second_.data() + at, count, second_scales_[block], v.data());
    const Seen seen = MoveByAdam(rates, count, parameters.data() + (at - first),
                                 gradient.data() + (at - first), m.data(), v.data());
    first_scales_[block] = of_first.Write(m.data(), count, first_.data() + at);
    second_scales_[block] = of_second.Write(v.data(), count, second_.data() + at);
    return seen;
  };
  const auto begin = static_cast<std::int64_t>(first / kBlock);
  return MoveInParallel(static_cast<std::int64_t>(Blocks(end)) - begin,
                        kGrain / static_cast<std::int64_t>(kBlock),
                        [&](std::int64_t from, std::int64_t to) {
                          Seen seen;
                          for (std::int64_t block = begin + from; block < begin + to; ++block) {
                            seen.Add(move(static_cast<std::size_t>(block)));
                          }
                          return seen;
                        });
}

StateArrays AdamW8Bit::State() {
  StateArrays state = {{"first_moments", StateBytes(first_)},
                       {"first_scales", StateBytes(first_scales_)},
                       {"second_moments", StateBytes(second_)},
                       {"second_scales", StateBytes(second_scales_)}};
  if (options().noise_bias_floor) {
    state[kNoiseVariance] = std::as_writable_bytes(std::span(&rule_.noise(), 1));
  }
  return state;
}

}  // namespace cloister::trainer
