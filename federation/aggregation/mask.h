#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "security/secret_bytes.h"

namespace cloister::federation::aggregation {

// Masks over vectors of 32-bit words with wrap-around. Word i of a key's mask is bytes 4i … 4i + 3,
// little-endian, of the AES-256-CTR stream under that key, so any stretch of a mask can be made on
// its own. Thread-safe.

enum class MaskSign { kAdd, kSubtract };

// words[i] ±= mask[first_word + i] mod 2^32. `key`: 32 bytes, never used for anything else.
void ApplyMask(std::span<std::uint32_t> words, const security::SecretBytes& key, MaskSign sign,
               std::uint64_t first_word = 0);

// words[i] += terms[i] mod 2^32; equal sizes.
void AddWords(std::span<std::uint32_t> words, std::span<const std::uint32_t> terms);

// Each word as the integer of [−2^31, 2^31) that it is congruent to.
std::vector<std::int64_t> Centred(std::span<const std::uint32_t> words);

}  // namespace cloister::federation::aggregation
