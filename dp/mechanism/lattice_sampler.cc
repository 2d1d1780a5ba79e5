#include "dp/mechanism/lattice_sampler.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "base/check.h"
#include "dp/mechanism/box_muller.h"

namespace cloister::dp {
namespace {

// Words of 16 KiB: what the stream enciphers at once, small beside the first-level cache.
constexpr std::size_t kBlocksAtOnce = 128;
constexpr std::size_t kSamplesInBlock = 2 * kPairsInBlock;
constexpr std::size_t kSamplesAtOnce = kBlocksAtOnce * kSamplesInBlock;
constexpr int kUnusedBits = 11;  // of a word, beyond the 53

MoreBits DrawMore(security::AesCtrStream& random) {
  MoreBits bits{};
  for (std::uint64_t& word : bits) word = random.NextU64();
  return bits;
}

}  // namespace

LatticeSampler::LatticeSampler(double sigma, security::AesCtrStream random)
    : LatticeSampler(sigma, std::move(random), SupportedSamplerTiers().back()) {}

LatticeSampler::LatticeSampler(double sigma, security::AesCtrStream random, SamplerTier tier)
    : sigma_(sigma), decide_blocks_(BlocksOf(tier)), random_(std::move(random)) {
  CLOISTER_CHECK(sigma >= 16 && sigma <= 0x1p40);
}

void LatticeSampler::FillBlocks(std::span<std::int64_t> samples, std::span<std::uint64_t> words) {
  random_.Fill({reinterpret_cast<std::uint8_t*>(words.data()), words.size_bytes()});
  std::array<std::uint8_t, kBlocksAtOnce> undecided{};
  const std::size_t blocks = samples.size() / kSamplesInBlock;
  decide_blocks_(sigma_, words.data(), blocks, samples.data(), undecided.data());
  for (std::size_t block = 0; block < blocks; ++block) {
    // In the pairs' order, so that every tier gives them the same further bits.
    for (unsigned open = undecided[block]; open != 0; open &= open - 1) {
      const std::size_t at =
          block * kSamplesInBlock + static_cast<std::size_t>(std::countr_zero(open));
      const UniformPair uniforms{words[at] >> kUnusedBits,
                                 words[at + kPairsInBlock] >> kUnusedBits};
      const MoreBits first = DrawMore(random_);
      const MoreBits second = DrawMore(random_);
      auto middle = DecideMiddlePair(sigma_, uniforms, first, second);
      const GaussianPair pair = middle ? *middle : ExactPair(sigma_, uniforms, first, second);
      samples[at] = pair.first;
      samples[at + kPairsInBlock] = pair.second;
    }
  }
}

void LatticeSampler::Fill(std::span<std::int64_t> samples) {
  std::array<std::uint64_t, kSamplesAtOnce> words;  // NOLINT: filled by the stream
  while (samples.size() >= kSamplesInBlock) {
    const std::size_t count =
        std::min(samples.size() / kSamplesInBlock * kSamplesInBlock, kSamplesAtOnce);
    FillBlocks(samples.first(count), std::span(words).first(count));
    samples = samples.subspan(count);
  }
  if (!samples.empty()) {
    std::array<std::int64_t, kSamplesInBlock> last{};
    FillBlocks(last, std::span(words).first(kSamplesInBlock));
    std::copy_n(last.begin(), samples.size(), samples.begin());
    OPENSSL_cleanse(last.data(), sizeof last);
  }
  // Whoever has these bits has the noise.
  OPENSSL_cleanse(words.data(), sizeof words);
}

double LatticeSampler::TotalVariationBound(double sigma) {
  CLOISTER_CHECK(sigma >= 16 && sigma <= 0x1p40);
  return 0x1p-248;
}

}  // namespace cloister::dp
