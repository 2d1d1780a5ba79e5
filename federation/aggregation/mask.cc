#include "federation/aggregation/mask.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "base/check.h"
#include "security/random.h"

namespace cloister::federation::aggregation {
namespace {

// Small enough for the first-level cache, large enough that a refill costs nothing.
constexpr std::size_t kWordsAtOnce = 4096;

std::uint32_t LittleEndian(const std::uint8_t* bytes) {
  return static_cast<std::uint32_t>(bytes[0]) | static_cast<std::uint32_t>(bytes[1]) << 8 |
         static_cast<std::uint32_t>(bytes[2]) << 16 | static_cast<std::uint32_t>(bytes[3]) << 24;
}

}  // namespace

void ApplyMask(std::span<std::uint32_t> words, const security::SecretBytes& key, MaskSign sign,
               std::uint64_t first_word) {
  CLOISTER_CHECK(key.size() == 32);
  security::AesCtrStream stream = security::AesCtrStream::FromKey(key);
  if (first_word != 0) stream.Seek(4 * first_word);
  security::SecretBytes mask(4 * std::min(kWordsAtOnce, words.size()));
  const std::span<std::uint8_t> bytes = mask.mutable_bytes();
  for (std::size_t start = 0; start < words.size(); start += kWordsAtOnce) {
    const std::size_t count = std::min(kWordsAtOnce, words.size() - start);
    stream.Fill(bytes.first(4 * count));
    std::uint32_t* const target = words.data() + start;
    if (sign == MaskSign::kAdd) {
      for (std::size_t i = 0; i < count; ++i) target[i] += LittleEndian(bytes.data() + 4 * i);
    } else {
      for (std::size_t i = 0; i < count; ++i) target[i] -= LittleEndian(bytes.data() + 4 * i);
    }
  }
}

void AddWords(std::span<std::uint32_t> words, std::span<const std::uint32_t> terms) {
  CLOISTER_CHECK(words.size() == terms.size());
  for (std::size_t i = 0; i < words.size(); ++i) words[i] += terms[i];
}

std::vector<std::int64_t> Centred(std::span<const std::uint32_t> words) {
  std::vector<std::int64_t> values(words.size());
  std::transform(words.begin(), words.end(), values.begin(), [](std::uint32_t word) {
    return static_cast<std::int64_t>(static_cast<std::int32_t>(word));
  });
  return values;
}

}  // namespace cloister::federation::aggregation
