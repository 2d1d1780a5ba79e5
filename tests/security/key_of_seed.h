#pragma once

#include <cstdint>
#include <iostream>

#include "security/secret_bytes.h"

namespace cloister::security {

// 32 bytes that differ by seed. Says its seed, so that a test's output is enough to draw the same
// again.
inline SecretBytes KeyOfSeed(std::uint8_t seed) {
  std::cout << "seed " << int{seed} << "\n";
  SecretBytes key(32);
  key.mutable_bytes()[0] = seed;
  return key;
}

}  // namespace cloister::security
