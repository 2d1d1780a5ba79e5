#include "trainer/data/sampling.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace cloister::trainer {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014): public shuffling only, never noise or private sampling.
std::uint64_t NextPublic(std::uint64_t& state) {
  state += 0x9E3779B97F4A7C15U;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

}  // namespace

std::vector<std::int64_t> PoissonDraw(std::int64_t units, double rate,
                                      security::AesCtrStream& random) {
  std::vector<std::int64_t> drawn;
  for (std::int64_t unit = 0; unit < units; ++unit) {
    if (random.Bernoulli(rate)) drawn.push_back(unit);
  }
  return drawn;
}

ShuffledBatches::ShuffledBatches(std::int64_t records, std::int64_t batch_size, std::uint64_t seed)
    : batch_size_(std::min(batch_size, records)),
      state_(seed),
      order_(static_cast<std::size_t>(records)) {
  std::iota(order_.begin(), order_.end(), std::int64_t{0});
  Shuffle();
}

void ShuffledBatches::Shuffle() {
  for (std::size_t i = order_.size(); i > 1; --i) {
    std::swap(order_[i - 1], order_[NextPublic(state_) % i]);
  }
  position_ = 0;
}

std::vector<std::int64_t> ShuffledBatches::Next() {
  std::vector<std::int64_t> batch;
  while (static_cast<std::int64_t>(batch.size()) < batch_size_) {
    if (position_ == order_.size()) Shuffle();
    batch.push_back(order_[position_++]);
  }
  return batch;
}

}  // namespace cloister::trainer
