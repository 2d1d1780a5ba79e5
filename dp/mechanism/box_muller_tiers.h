#pragma once

// Inside dp/mechanism/, its tests and its benchmark only: the first stage of Box–Muller on whole
// blocks of pairs, for each instruction set. All tiers give the same bits.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace cloister::dp {

inline constexpr std::size_t kPairsInBlock = 8;

// Reads 2 * kPairsInBlock random words a block: U1 of each pair, then U2 of each, in the upper 53
// bits. Writes as many samples: the first number of each pair, then the second. Bit i of
// undecided[block]: fp64 cannot decide pair i, whose samples mean nothing yet.
using DecideBlocks = void (*)(double sigma, const std::uint64_t* words, std::size_t blocks,
                              std::int64_t* samples, std::uint8_t* undecided);

// In rising order, of 2, 4 and 8 lanes. kSse2 is what every x86-64 processor has, kAvx512 AVX-512 F
// and DQ.
enum class SamplerTier { kSse2, kAvx2, kAvx512 };

std::string_view SamplerTierName(SamplerTier tier);
// Those that this processor, and the operating system's saved state, can run; kSse2 first.
std::vector<SamplerTier> SupportedSamplerTiers();
DecideBlocks BlocksOf(SamplerTier tier);

// box_muller_sse2.cc, box_muller_avx2.cc and box_muller_avx512.cc, compiled for their instructions.
void DecideBlocksSse2(double sigma, const std::uint64_t* words, std::size_t blocks,
                      std::int64_t* samples, std::uint8_t* undecided);
void DecideBlocksAvx2(double sigma, const std::uint64_t* words, std::size_t blocks,
                      std::int64_t* samples, std::uint8_t* undecided);
void DecideBlocksAvx512(double sigma, const std::uint64_t* words, std::size_t blocks,
                        std::int64_t* samples, std::uint8_t* undecided);

}  // namespace cloister::dp
