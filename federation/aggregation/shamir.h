#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "security/secret_bytes.h"

namespace cloister::federation::aggregation {

// Shamir's secret sharing (CACM 22(11), 1979) byte by byte over GF(2^8), the field of AES
// (x^8 + x^4 + x^3 + x + 1). Any `threshold` shares give the secret; fewer say nothing about it.
// Multiplication and inversion are free of tables and of branches on secrets. Thread-safe.

struct ShamirShare {
  std::uint8_t x = 0;           // 1 … 255, public
  security::SecretBytes bytes;  // as long as the secret
};

// One share for each coordinate, in their order, with fresh coefficients of the operating system's
// generator. kInvalidArgument unless 1 <= threshold <= coordinates.size() and the coordinates are
// distinct and not zero.
base::Result<std::vector<ShamirShare>> Split(const security::SecretBytes& secret,
                                             std::uint32_t threshold,
                                             std::span<const std::uint8_t> coordinates);

// The secret from exactly the shares given (their number is the threshold). kInvalidArgument for no
// share, a zero or repeated coordinate, or unequal sizes. Wrong shares give a wrong secret
// silently: the caller checks it against what was committed to.
base::Result<security::SecretBytes> Combine(std::span<const ShamirShare> shares);

// The field itself, for tests.
std::uint8_t FieldMultiply(std::uint8_t a, std::uint8_t b);
std::uint8_t FieldInverse(std::uint8_t a);  // of 0: 0

}  // namespace cloister::federation::aggregation
