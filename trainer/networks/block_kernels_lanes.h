#pragma once

// The body of the block kernels, compiled once a tier: loops of known lengths, and vectors where
// the compiler does not find them. A number is one product of a level and a scale, so that every
// tier computes the same bits. Everything is inside this file's unnamed namespace, and nothing of
// the standard library is called that another file could share: code for one tier's instructions
// must not be linked into another's.

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "trainer/networks/block_kernels.h"
#include "trainer/networks/nf4.h"

namespace cloister::trainer {
namespace {

// A finite IEEE half: its exponent moved by 112, which also makes subnormals right.
float LoadScale(const std::byte* from) {
  std::uint16_t half;
  __builtin_memcpy(&half, from, sizeof half);
  const std::uint32_t magnitude = (half & 0x7fffU) << 13, sign = (half & 0x8000U) << 16;
  float unmoved;
  __builtin_memcpy(&unmoved, &magnitude, sizeof unmoved);
  const float moved = unmoved * 0x1p112F;
  std::uint32_t bits;
  __builtin_memcpy(&bits, &moved, sizeof bits);
  bits |= sign;
  float scale;
  __builtin_memcpy(&scale, &bits, sizeof scale);
  return scale;
}

// `values`, a few on the stack, to memory.
template <std::size_t kSize>
void Put(const float* values, float* to) {
  __builtin_memcpy(to, values, kSize * sizeof *to);
}
template <std::size_t kSize>
void Put(const float* values, Bf16* to) {
  std::uint32_t words[kSize];
  __builtin_memcpy(words, values, sizeof words);
  std::uint16_t halves[kSize];
  for (std::size_t i = 0; i < kSize; ++i) {
    halves[i] = static_cast<std::uint16_t>((words[i] + 0x7fffU + ((words[i] >> 16) & 1U)) >> 16);
  }
  __builtin_memcpy(to, halves, sizeof halves);
}

// Sixteen levels times their scale.
void Scale(const std::int8_t* levels, float scale, float* to) {
#if defined(__AVX512F__)
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(levels));
  const __m512 numbers = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
  _mm512_storeu_ps(to, _mm512_mul_ps(numbers, _mm512_set1_ps(scale)));
#elif defined(__AVX2__)
  for (int i = 0; i < 16; i += 8) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(levels + i));
    const __m256 numbers = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
    _mm256_storeu_ps(to + i, _mm256_mul_ps(numbers, _mm256_set1_ps(scale)));
  }
#else
  for (int i = 0; i < 16; ++i) to[i] = static_cast<float>(levels[i]) * scale;
#endif
}

template <typename T>
void DequantizeQ8_0(const std::byte* __restrict blocks, std::int64_t count, T* __restrict to) {
  for (std::int64_t block = 0; block < count; ++block, blocks += 34, to += 32) {
    const float scale = LoadScale(blocks);
    const auto* const levels = reinterpret_cast<const std::int8_t*>(blocks + 2);
    float values[32];
    Scale(levels, scale, values);
    Scale(levels + 16, scale, values + 16);
    Put<32>(values, to);
  }
}

template <typename T>
void DequantizeQ4_0(const std::byte* __restrict blocks, std::int64_t count, T* __restrict to) {
  using Bytes [[gnu::vector_size(16)]] = std::int8_t;
  for (std::int64_t block = 0; block < count; ++block, blocks += 18, to += 32) {
    const float scale = LoadScale(blocks);
    Bytes pairs;
    __builtin_memcpy(&pairs, blocks + 2, sizeof pairs);
    const Bytes low = (pairs & 15) - 8, high = ((pairs >> 4) & 15) - 8;
    std::int8_t levels[32];
    __builtin_memcpy(levels, &low, sizeof low);
    __builtin_memcpy(levels + 16, &high, sizeof high);
    float values[32];
    Scale(levels, scale, values);
    Scale(levels + 16, scale, values + 16);
    Put<32>(values, to);
  }
}

// kNf4Levels[number] * scale for sixteen numbers: where there are such instructions, out of
// registers.
void Look(const std::int32_t* numbers, float scale, float* to) {
#if defined(__AVX512F__)
  using Numbers [[gnu::vector_size(64)]] = float;
  using Words [[gnu::vector_size(64)]] = std::int32_t;
  Numbers all;
  Words of;
  __builtin_memcpy(&all, kNf4Levels, sizeof all);
  __builtin_memcpy(&of, numbers, sizeof of);
  const Numbers scaled = __builtin_shuffle(all, of) * scale;
  __builtin_memcpy(to, &scaled, sizeof scaled);
#elif defined(__AVX2__)
  using Half [[gnu::vector_size(32)]] = float;
  using HalfWords [[gnu::vector_size(32)]] = std::int32_t;
  Half low, high;
  __builtin_memcpy(&low, kNf4Levels, sizeof low);
  __builtin_memcpy(&high, kNf4Levels + 8, sizeof high);
  for (int part = 0; part < 16; part += 8) {
    HalfWords of;
    __builtin_memcpy(&of, numbers + part, sizeof of);
    const Half found = of < 8 ? __builtin_shuffle(low, of & 7) : __builtin_shuffle(high, of & 7);
    const Half scaled = found * scale;
    __builtin_memcpy(to + part, &scaled, sizeof scaled);
  }
#else
  for (int i = 0; i < 16; ++i) to[i] = kNf4Levels[numbers[i]] * scale;
#endif
}

template <typename T>
void DequantizeNf4(const std::byte* __restrict blocks, std::int64_t count, T* __restrict to) {
  for (std::int64_t block = 0; block < count; ++block, blocks += 36, to += 64) {
    float largest;
    __builtin_memcpy(&largest, blocks, sizeof largest);
    const auto* const pairs = reinterpret_cast<const std::uint8_t*>(blocks + 4);
    std::int32_t numbers[64];
    for (int i = 0; i < 32; ++i) numbers[i] = pairs[i] & 15;
    for (int i = 0; i < 32; ++i) numbers[32 + i] = pairs[i] >> 4;
    float values[64];
    for (int i = 0; i < 64; i += 16) Look(numbers + i, largest, values + i);
    Put<64>(values, to);
  }
}

template <typename T>
constexpr BlockKernels<T> kBlockTable = {DequantizeQ8_0<T>, DequantizeQ4_0<T>, DequantizeNf4<T>};

}  // namespace
}  // namespace cloister::trainer
