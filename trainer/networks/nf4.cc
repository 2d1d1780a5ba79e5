#include "trainer/networks/nf4.h"

#include <array>
#include <cmath>
#include <cstring>

namespace cloister::trainer {
namespace {

constexpr std::size_t kBlock = kNf4Block, kHalf = kNf4Block / 2;

// Between two levels: what lies above belongs to the upper one.
constexpr std::array<float, 15> Thresholds() {
  std::array<float, 15> middle{};
  for (std::size_t i = 0; i < middle.size(); ++i) {
    middle[i] = (kNf4Levels[i] + kNf4Levels[i + 1]) / 2;
  }
  return middle;
}

void QuantizeBlock(const float* from, std::byte* block) {
  constexpr std::array<float, 15> kThresholds = Thresholds();
  float largest = 0;
  for (std::size_t i = 0; i < kBlock; ++i) {
    const float magnitude = std::fabs(from[i]);
    largest = magnitude > largest ? magnitude : largest;
  }
  // Beside a magnitude whose reciprocal fp32 cannot hold, division still gives what is meant.
  float shares[kBlock];
  for (std::size_t i = 0; i < kBlock; ++i) shares[i] = largest > 0 ? from[i] / largest : 0;
  std::int32_t levels[kBlock] = {};
  for (const float threshold : kThresholds) {
    for (std::size_t i = 0; i < kBlock; ++i) levels[i] += shares[i] > threshold ? 1 : 0;
  }
  std::memcpy(block, &largest, sizeof largest);
  for (std::size_t i = 0; i < kHalf; ++i) {
    block[sizeof largest + i] = static_cast<std::byte>(levels[i] | levels[i + kHalf] << 4);
  }
}

}  // namespace

void QuantizeNf4(std::span<const float> from, std::byte* blocks) {
  for (std::size_t i = 0; i + kBlock <= from.size(); i += kBlock, blocks += kNf4Bytes) {
    QuantizeBlock(from.data() + i, blocks);
  }
}

}  // namespace cloister::trainer
