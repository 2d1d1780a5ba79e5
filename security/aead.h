#pragma once

// Inside security/ and its vector tests only: AES-256-GCM with an explicit nonce. Everyone else
// takes SealOnce and Open, which cannot reuse one.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "security/primitives.h"

namespace cloister::security {

using GcmNonce = std::array<std::uint8_t, 12>;
constexpr std::size_t kGcmTagSize = 16;

// Ciphertext followed by the tag. `key` has 32 bytes; one key must never meet a nonce twice.
std::vector<std::uint8_t> GcmSeal(const SecretBytes& key, const GcmNonce& nonce,
                                  std::span<const std::uint8_t> associated,
                                  std::span<const std::uint8_t> plaintext);
// kDataLoss when `sealed` does not authenticate.
base::Result<SecretBytes> GcmOpen(const SecretBytes& key, const GcmNonce& nonce,
                                  std::span<const std::uint8_t> associated,
                                  std::span<const std::uint8_t> sealed);

// One encoding a context: a label, then each field with its length (64 bits, little-endian) before.
std::vector<std::uint8_t> EncodeContext(const MessageContext& context);

}  // namespace cloister::security
