#include "federation/aggregation/shamir.h"

#include <array>
#include <cstddef>
#include <utility>

#include "security/random.h"

namespace cloister::federation::aggregation {
namespace {

// Every coordinate distinct and not zero (zero is the secret's own).
bool GoodCoordinates(std::span<const std::uint8_t> coordinates) {
  std::array<bool, 256> seen{};
  for (const std::uint8_t x : coordinates) {
    if (x == 0 || seen[x]) return false;
    seen[x] = true;
  }
  return true;
}

}  // namespace

std::uint8_t FieldMultiply(std::uint8_t a, std::uint8_t b) {
  std::uint32_t product = 0;
  std::uint32_t shifted = a;
  for (int bit = 0; bit < 8; ++bit) {
    // All ones or all zeros, so that no branch and no address depends on a share.
    product ^= shifted & (0U - ((b >> bit) & 1U));
    shifted = (shifted << 1) ^ (0x11bU & (0U - (shifted >> 7)));
  }
  return static_cast<std::uint8_t>(product);
}

std::uint8_t FieldInverse(std::uint8_t a) {
  // a^254 = a^(2 + 4 + … + 128), as a^255 = 1.
  std::uint8_t square = a;
  std::uint8_t product = 1;
  for (int i = 0; i < 7; ++i) {
    square = FieldMultiply(square, square);
    product = FieldMultiply(product, square);
  }
  return product;
}

base::Result<std::vector<ShamirShare>> Split(const security::SecretBytes& secret,
                                             std::uint32_t threshold,
                                             std::span<const std::uint8_t> coordinates) {
  if (threshold == 0 || threshold > coordinates.size() || !GoodCoordinates(coordinates)) {
    return base::Fail(base::Code::kInvalidArgument,
                      "secret sharing: take distinct non-zero coordinates, and a threshold between "
                      "1 and their number");
  }
  const std::size_t size = secret.size();
  // coefficients of x^1 … x^(threshold − 1), each as long as the secret
  const security::SecretBytes coefficients = security::RandomSecret(size * (threshold - 1));
  std::vector<ShamirShare> shares;
  shares.reserve(coordinates.size());
  for (const std::uint8_t x : coordinates) {
    security::SecretBytes value(size);
    const std::span<std::uint8_t> y = value.mutable_bytes();
    for (std::size_t power = threshold - 1; power > 0; --power) {  // Horner, highest power first
      const auto row = coefficients.bytes().subspan((power - 1) * size, size);
      for (std::size_t i = 0; i < size; ++i) y[i] = FieldMultiply(y[i] ^ row[i], x);
    }
    for (std::size_t i = 0; i < size; ++i) y[i] ^= secret.bytes()[i];
    shares.push_back({x, std::move(value)});
  }
  return shares;
}

base::Result<security::SecretBytes> Combine(std::span<const ShamirShare> shares) {
  std::vector<std::uint8_t> coordinates;
  bool same_size = true;
  for (const ShamirShare& share : shares) {
    coordinates.push_back(share.x);
    same_size = same_size && share.bytes.size() == shares.front().bytes.size();
  }
  if (shares.empty() || !same_size || !GoodCoordinates(coordinates)) {
    return base::Fail(base::Code::kInvalidArgument,
                      "secret sharing: give at least one share, each with its own non-zero "
                      "coordinate, all of one size");
  }
  security::SecretBytes secret(shares.front().bytes.size());
  const std::span<std::uint8_t> sum = secret.mutable_bytes();
  for (const ShamirShare& share : shares) {
    // Lagrange's weight at zero: the product of x_k / (x_k − x_j); minus is plus here.
    std::uint8_t weight = 1;
    for (const std::uint8_t x : coordinates) {
      if (x == share.x) continue;
      weight = FieldMultiply(weight, FieldMultiply(x, FieldInverse(x ^ share.x)));
    }
    for (std::size_t i = 0; i < sum.size(); ++i) {
      sum[i] ^= FieldMultiply(share.bytes.bytes()[i], weight);
    }
  }
  return secret;
}

}  // namespace cloister::federation::aggregation
