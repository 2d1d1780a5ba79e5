#include "dp/mechanism/lattice_sampler.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "dp/mechanism/box_muller.h"
#include "security/secret_bytes.h"

namespace cloister::dp {
namespace {

constexpr std::size_t kPairsAtOnce = 1024;
constexpr std::size_t kPairBytes = 2 * sizeof(std::uint64_t);

std::uint64_t Word(const std::uint8_t* bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

MoreBits DrawMore(security::AesCtrStream& random) {
  MoreBits bits{};
  for (std::uint64_t& word : bits) word = random.NextU64();
  return bits;
}

}  // namespace

LatticeSampler::LatticeSampler(double sigma, security::AesCtrStream random)
    : sigma_(sigma), random_(std::move(random)) {
  CLOISTER_CHECK(sigma >= 16 && sigma <= 0x1p40);
}

void LatticeSampler::Fill(std::span<std::int64_t> samples) {
  // Wiped when done: whoever has these bits has the noise.
  security::SecretBytes bits(kPairBytes * std::min(kPairsAtOnce, (samples.size() + 1) / 2));
  while (!samples.empty()) {
    const std::size_t pairs = std::min(kPairsAtOnce, (samples.size() + 1) / 2);
    random_.Fill(bits.mutable_bytes().first(pairs * kPairBytes));
    for (std::size_t i = 0; i < pairs; ++i) {
      const std::uint8_t* const at = bits.bytes().data() + i * kPairBytes;
      const UniformPair uniforms{Word(at) >> 11, Word(at + sizeof(std::uint64_t)) >> 11};
      std::optional<GaussianPair> pair = DecidePair(sigma_, uniforms);
      if (!pair) {
        const MoreBits first = DrawMore(random_);
        pair = ExactPair(sigma_, uniforms, first, DrawMore(random_));
      }
      samples[0] = pair->first;
      if (samples.size() > 1) samples[1] = pair->second;
      samples = samples.subspan(std::min<std::size_t>(2, samples.size()));
    }
  }
}

double LatticeSampler::TotalVariationBound(double sigma) {
  CLOISTER_CHECK(sigma >= 16 && sigma <= 0x1p40);
  return 0x1p-248;
}

}  // namespace cloister::dp
