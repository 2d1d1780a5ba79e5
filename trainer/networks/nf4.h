#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace cloister::trainer {

// 4-bit NormalFloat (Dettmers et al. 2023, arXiv 2305.14314, appendix E), as bitsandbytes has it:
// a weight is one of sixteen numbers, quantiles of a normal distribution scaled to [-1, 1] and zero
// among them, times the largest magnitude of its block of 64. No model file holds it; here a block
// is that magnitude, fp32, and 32 bytes, whose low four bits are the levels of weights 0 … 31 and
// whose high ones those of weights 32 … 63.
inline constexpr std::int64_t kNf4Block = 64;
inline constexpr std::int64_t kNf4Bytes = 36;

inline constexpr float kNf4Levels[16] = {
    -1.0F,
    -0.6961928009986877F,
    -0.5250730514526367F,
    -0.39491748809814453F,
    -0.28444138169288635F,
    -0.18477343022823334F,
    -0.09105003625154495F,
    0.0F,
    0.07958029955625534F,
    0.16093020141124725F,
    0.24611230194568634F,
    0.33791524171829224F,
    0.44070982933044434F,
    0.5626170039176941F,
    0.7229568362236023F,
    1.0F,
};

// Each weight to the nearest of them. `from`: whole blocks of finite numbers; `blocks`: kNf4Bytes
// for each.
void QuantizeNf4(std::span<const float> from, std::byte* blocks);

}  // namespace cloister::trainer
