#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "security/secret_bytes.h"

namespace cloister::security {

// Bytes of the operating system's generator (getrandom). Aborts when it fails: there is no safe way
// to go on without randomness.
void SystemRandom(std::span<std::uint8_t> bytes);
SecretBytes RandomSecret(std::size_t size);

// AES-256-CTR key stream (NIST SP 800-38A) with a zero initial counter block: as a CSPRNG keyed by
// the operating system (FromSystem), and as the expander of a mask key (FromKey). Seekable. Not
// thread-safe; one stream a thread. A fork copies it: parent and child would draw the same bytes,
// so only one of them may go on with it.
class AesCtrStream {
 public:
  static AesCtrStream FromSystem();
  // `key`: 32 bytes.
  static AesCtrStream FromKey(const SecretBytes& key);
  // The same from another initial counter block, big-endian, as published vectors have it.
  static AesCtrStream FromKeyAndCounter(const SecretBytes& key,
                                        std::span<const std::uint8_t, 16> counter);

  AesCtrStream(AesCtrStream&&) noexcept;
  AesCtrStream& operator=(AesCtrStream&&) noexcept;
  ~AesCtrStream();

  void Fill(std::span<std::uint8_t> bytes);  // the next bytes of the stream
  std::uint64_t NextU64();                   // the next eight bytes, little-endian
  void Seek(std::uint64_t byte_offset);      // any offset

  // Uniform on the integers of [0, bound), bound > 0, without bias.
  std::uint64_t NextBelow(std::uint64_t bound);
  // True with probability p rounded down to a multiple of 2^-64 (1 always for p >= 1): never more
  // likely than stated, so that a sampling rate is an upper bound.
  bool Bernoulli(double p);

 private:
  struct State;
  explicit AesCtrStream(State* state);
  State* state_;
};

}  // namespace cloister::security
